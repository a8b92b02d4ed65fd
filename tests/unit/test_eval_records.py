"""Evaluation on records: what is asked, how it is counted, and the command."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.train.parts import make_add_on, make_model, tokenizer

import qzoom.loading
from qzoom.cli import evaluate_records as command
from qzoom.cli import main
from qzoom.data.images import ImageFolder
from qzoom.data.jsonl import read_records, write_records
from qzoom.data.readers.synth import write_scenes
from qzoom.data.records import Record, Turn
from qzoom.errors import DataError
from qzoom.eval import looks
from qzoom.eval.records import chosen, evaluate_records, question_kind
from qzoom.train.export import checkpoint_of
from qzoom.train.recipe import ZoomRecipe
from qzoom.zoom.model import ZoomModel


def record(name: str, split: str | None, *turns: Turn) -> Record:
    return Record(name, ("a.png",), turns, "d", "textual", "CC0", "here", split)


TOTAL, NEXT, OPEN = Turn("total?", ("5.00",)), Turn('next to "A b"?', ("x",)), Turn("why?")


def test_kinds() -> None:
    assert question_kind('what comes after "the quick" and "fox"?') == (
        'what comes after "..." and "..."?'
    )
    assert question_kind("what is the total?") == "what is the total?"


def test_chosen_records() -> None:
    records = [
        record("a", "test", TOTAL, NEXT, OPEN), record("b", "train", TOTAL),
        record("c", "test", OPEN), record("d", None, NEXT), record("e", "test", TOTAL),
    ]  # fmt: skip
    found = list(chosen(records, "test", None, []))
    assert [(item.id, item.turns) for item in found] == [("a", (TOTAL, NEXT)), ("e", (TOTAL,))]
    assert [item.id for item in chosen(records, None, 3, [])] == ["a", "b", "d"]
    only = list(chosen(records, None, None, ['next to "..."?']))
    assert [(item.id, item.turns) for item in only] == [("a", (NEXT,)), ("d", (NEXT,))]


class Fake:
    """A model that says what it is told to, and zooms when it may."""

    def __init__(self, says: dict[str, str], cells: int = 64) -> None:
        self.says, self.cells = says, cells
        self.pipeline = SimpleNamespace(budget_cells=(1, 64))
        self.name, self.dtype = "fake", "float32"
        self.parts = SimpleNamespace(backbone=SimpleNamespace(attn_implementation="sdpa"))

    def with_budget(self, max_cells: int) -> Fake:
        return Fake(self.says, max_cells)

    def open(self, pictures: list[Any]) -> Fake:
        assert len(pictures) == 1
        return self

    def ask(self, question: str, *, zoom: str, max_new_tokens: int) -> Any:
        assert max_new_tokens == 48
        zoomed = zoom == "always" or (zoom == "auto" and "total" in question)
        return SimpleNamespace(
            text=self.says[question] if zoomed or self.cells > 64 else "?",
            zoomed=zoomed,
            boxes_xyxy_px=[(0, 0, 9, 9)] if zoomed else [],
            image_index=0,
            usage={"visual_tokens": self.cells, "roi_tokens": 30 if zoomed else 0},
        )


@pytest.fixture
def world(tmp_path: Path) -> Path:
    write_scenes(tmp_path, 1, "records")
    (path,) = next(read_records(tmp_path / "records.jsonl")).images
    total = Turn("what is the total?", ("60.30",), ((1, 1, 5, 5),))
    turns = (total, Turn('after "a"?', ("Owl",)), Turn('after "b"?', ("Cat",)), OPEN)
    records = [Record("r", (path,), turns, "sroie", "textual", "CC0", "here", "test")]
    write_records(tmp_path / "records.jsonl", records)
    return tmp_path


SAYS = {"what is the total?": "RM 60.3", 'after "a"?': "owl", 'after "b"?': "dog"}


def test_looks_are_counted_by_kind(world: Path) -> None:
    records = chosen(read_records(world / "records.jsonl"), None, None, [])
    fake: Any = Fake(SAYS)
    report = evaluate_records(fake, records, ImageFolder(world), looks.LOOKS)
    assert tuple(report) == looks.LOOKS
    exact = [report[look]["exact_match"] for look in looks.LOOKS]
    assert exact == [0.0, 0.6667, 0.6667, 0.3333, 0.6667]
    cells = [report[look]["mean_visual_tokens"] for look in looks.LOOKS]
    assert cells == [64.0, 128.0, 1024.0, 74.0, 94.0]
    zoomed = report["zoom_coarse"]
    assert (zoomed["zoomed"], zoomed["answer_mostly_inside_crop"]) == (0.3333, 1.0)
    kinds = report["direct_full"]["by_kind"]
    assert list(kinds) == ['sroie: after "..."?', "sroie: what is the total?"]
    assert (
        kinds['sroie: after "..."?']["questions"],
        kinds['sroie: after "..."?']["exact_match"],
    ) == (2, 0.5)


def test_nothing_to_ask(world: Path) -> None:
    fake: Any = Fake(SAYS)
    with pytest.raises(DataError, match="no question with an answer is left"):
        evaluate_records(fake, [], ImageFolder(world), ["direct_full"])


def test_the_command(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(qzoom.loading, "load", lambda name, adapter: Fake(SAYS))
    out = world / "report.json"
    arguments = ["eval", "records", str(world / "records.jsonl"), "--images", str(world)]
    assert main([*arguments, "--split", "test", "--out", str(out)]) == 0
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in table if not line.startswith(" ")] == [
        ["look", "exact"], ["direct_coarse", "0.000"], ["direct_full", "0.667"],
        ["zoom_coarse", "0.333"],
    ]  # fmt: skip
    assert table[-1].endswith("sroie: what is the total?")
    stored = json.loads(out.read_text())
    assert stored["looks"]["direct_full"]["questions"] == 3
    question = ["--question", "what is the total?", "--looks", "always_coarse", "--json"]
    assert main([*arguments, *question]) == 0
    assert json.loads(capsys.readouterr().out)["looks"]["always_coarse"]["exact_match"] == 1.0
    assert main([*arguments, "--split", "tset"]) == 2
    assert "no question with an answer is left" in capsys.readouterr().err
    assert main([*arguments, "--looks", "sideways"]) == 2
    assert "invalid choice: 'sideways'" in capsys.readouterr().err


def test_the_command_knows_all_looks() -> None:
    assert command._LOOKS == looks.LOOKS


def test_a_random_model_runs(world: Path) -> None:
    trunk = make_model(seed=6)
    zoom = ZoomRecipe(gate_threshold=0.0, roi_threshold=0.0)
    model = ZoomModel(checkpoint_of(trunk, make_add_on(trunk), tokenizer(), zoom, "random"))
    records = chosen(read_records(world / "records.jsonl"), "test", 1, ["what is the total?"])
    names = ("direct_coarse", "direct_full", "always_coarse")
    report = evaluate_records(model, records, ImageFolder(world), names, max_new_tokens=2)
    json.dumps(report, allow_nan=False)
    assert [report[name]["zoomed"] for name in names] == [0.0, 0.0, 1.0]
    assert (
        report["direct_coarse"]["mean_visual_tokens"] < report["direct_full"]["mean_visual_tokens"]
    )
