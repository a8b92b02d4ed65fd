"""Rows and counts of gate labels from answers that are known beforehand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.tiny_chat import chat_model
from tests.unit.labels_pool import row

from qzoom.data.images import ImageFolder
from qzoom.data.records import Record, Turn
from qzoom.errors import LabelError
from qzoom.labels.answer_rows import AnswerRow
from qzoom.labels.answerers import ModelAnswerer
from qzoom.labels.answers import PoolRecord
from qzoom.labels.consistency import reference_rule
from qzoom.labels.gate_labels import GateLabelKind, GateLabelPlan, label_gate
from qzoom.labels.gate_rows import ConsistencyRow, CropFixRow, GateRow, NaiveRow, read_gate_rows
from qzoom.labels.pool import QuestionPool

CELLS = (16, 25, 36, 64)
# What each question is answered at each budget, and where another answer comes of the crop.
SAID = {
    "easy": ("owl", "owl", "owl", "owl"),
    "hard": ("cat", "an owl", "owl", "owl"),
    "back": ("owl", "cat", "owl", "owl"),
    "torn": ("cat", "cat", "cat", "owl"),
    "lost": ("cat", "cat", "cat", "cat"),
    "bird": ("ow", "owl", "owl", "owl"),
}
ZOOMED = {"hard": "owl", "easy": "cat", "torn": "cat"}


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> QuestionPool:
    def answer(self: ModelAnswerer, batch: Sequence[PoolRecord]) -> list[AnswerRow]:
        zoomed = self.zoom == "always"
        # Under a range of budgets, as with a crop, the direct answer is that of the lowest.
        place = CELLS.index(self.model.pipeline.budget_cells[0])
        said = {name: answers[place] for name, answers in SAID.items()}
        said |= ZOOMED if zoomed else {}
        return [row(r.id, said[r.id], question=r.question, zoomed=zoomed) for r in batch]

    monkeypatch.setattr(ModelAnswerer, "__call__", answer)
    records = [
        Record(
            name, (f"{name}.png",), (Turn(f"what {name}?", ("owl",)),), "toy", "textual", "-", "-"
        )
        for name in SAID
    ]
    return QuestionPool(records, ImageFolder(tmp_path), answered=True)


def label(
    pool: QuestionPool, folder: Path, kind: GateLabelKind, reference: bool = False
) -> tuple[dict[str, int], list[GateRow]]:
    model = chat_model("qwen3_vl")
    cells = () if kind == "crop-fix" else CELLS
    plan = GateLabelPlan(kind, cells, *([reference_rule()] if reference else []))
    summary = label_gate(pool, model, folder, plan, lambda line: None)
    assert summary == json.loads((folder / "summary.json").read_text())
    return summary["outcomes"], list(read_gate_rows(folder / "gate.jsonl"))


def named(name: str) -> tuple[str, str, str]:
    return name, f"{name}.png", f"what {name}?"


def test_consistent_questions_become_rows(pool: QuestionPool, tmp_path: Path) -> None:
    counts, rows = label(pool, tmp_path / "out", "consistency")
    assert counts == {
        "easy": 1, "hard": 2, "top disagrees": 1, "top is wrong": 1, "no step": 1,
    }  # fmt: skip
    assert rows == [
        ConsistencyRow(*named("easy"), CELLS, 0),
        ConsistencyRow(*named("hard"), CELLS, 1),
        ConsistencyRow(*named("bird"), CELLS, 1),
    ]
    # Judged anew, from the same answers: a part of a word is enough for the reference.
    counts, rows = label(pool, tmp_path / "out", "consistency", reference=True)
    assert (counts["easy"], counts["hard"]) == (2, 1)
    counts, rows = label(pool, tmp_path / "out", "naive")
    assert counts == {"right": 5, "wrong": 7}
    assert rows[1] == NaiveRow(*named("hard"), CELLS[:2], (1, 0))


def test_what_a_crop_mends(pool: QuestionPool, tmp_path: Path) -> None:
    counts, rows = label(pool, tmp_path / "out", "crop-fix")
    assert counts == {"easy": 2, "hard": 1, "neither is right": 3}
    assert rows == [
        CropFixRow(*named("easy"), (16, 64), 0),
        CropFixRow(*named("hard"), (16, 64), 1),
        CropFixRow(*named("back"), (16, 64), 0),
    ]


def test_three_resolutions_at_least() -> None:
    with pytest.raises(LabelError, match=r"2 resolutions are given .* give at least 3"):
        GateLabelPlan(cells=(16, 25))
