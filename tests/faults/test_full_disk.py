"""A disk that is full: one line that names the file, nothing half-written, and then on it goes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import replace
from io import StringIO
from pathlib import Path

from safetensors.torch import load_file
from tests.faults.children import Outcome, contents, in_child
from tests.faults.labelling import label, make_images
from tests.tiny_chat import chat_checkpoint
from tests.train.toy import SETTINGS, Line, Mortal
from tests.unit.labels_pool import FakeAnswerer, pool
from tests.unit.test_labels_mining import files as write_answers
from tests.unit.test_labels_mining import run as mine_pool

from qzoom.checkpoints.adapter import save_adapter, with_adapter
from qzoom.cli import main
from qzoom.data.jsonl import write_records
from qzoom.data.records import Record, Turn
from qzoom.labels.answers import answer_pool
from qzoom.labels.jsonl import read_rows
from qzoom.labels.store import LabelRow, LabelStore, read_labels
from qzoom.train.loop import LoopSettings, run_stage
from qzoom.train.metrics import read_metrics
from qzoom.train.state import load_modules, states, step_of

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def refused(work: Callable[[], object], largest_file: int) -> Outcome:
    """Do work on a disk with room for files of so many bytes; it must end in one line."""
    outcome = in_child(work, largest_file=largest_file)
    assert outcome.signal == 0
    assert "File too large" in outcome.error
    assert "\n" not in outcome.error
    return outcome


def test_label_shards(tmp_path: Path) -> None:
    images = make_images(tmp_path / "images")
    label(tmp_path / "whole", images)
    whole = contents(tmp_path / "whole")
    sizes = [len(data) for name, data in whole.items() if name.endswith(".safetensors")]
    assert sizes[2] < sizes[3] < sizes[4]
    folder = tmp_path / "full"
    outcome = refused(lambda: vars(label(folder, images)), sizes[3])
    assert str(folder) in outcome.error
    kept = ["settings.json", *(f"shard-0000{n}" for n in range(4))]
    assert contents(folder) == {n: d for n, d in whole.items() if n.startswith(tuple(kept))}
    assert len(list(read_labels(folder))) == 16
    label(folder, images)
    assert contents(folder) == whole


def test_rows_of_a_label_shard(tmp_path: Path) -> None:
    bad = [LabelRow({"id": "a", "error": "x" * 3000, "teaches": False}, {})]
    store = LabelStore(tmp_path, {"model": "fake"})
    outcome = refused(lambda: store.write(0, bad), 2000)
    assert outcome.error.endswith("shard-00000.jsonl'")
    assert not store.has(0)
    store.write(0, bad)
    assert list(contents(tmp_path)) == [
        "settings.json", "shard-00000.jsonl", "shard-00000.safetensors"
    ]  # fmt: skip


def test_answers(tmp_path: Path) -> None:
    def answer(folder: Path) -> None:
        answer_pool(pool(30), FakeAnswerer(), folder / "answers.jsonl")

    answer(tmp_path / "whole")
    outcome = refused(lambda: answer(tmp_path / "full"), 1500)
    assert outcome.error.endswith("answers.jsonl'")
    known = [row for _, row in read_rows(tmp_path / "full" / "answers.jsonl")]
    assert 0 < len(known) < 30
    answer(tmp_path / "full")
    assert contents(tmp_path / "full") == contents(tmp_path / "whole")


def test_replies_of_a_judge(tmp_path: Path) -> None:
    for name in ("whole", "full"):
        (tmp_path / name).mkdir()
        write_answers(tmp_path / name, 25)
    mine_pool(tmp_path / "whole")
    outcome = refused(lambda: mine_pool(tmp_path / "full"), 1500)
    assert outcome.error.endswith("cache.jsonl'")
    assert not (tmp_path / "full" / "mined.jsonl").exists()
    mine_pool(tmp_path / "full")
    for name in ("mined.jsonl", "cache.jsonl"):
        assert (tmp_path / "full" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def train(folder: Path, settings: LoopSettings = SETTINGS, dies_at: int = -1) -> None:
    stage = Mortal(dies_at)
    run_stage(stage, {"net": stage.net}, settings, folder)


def test_training_states(tmp_path: Path) -> None:
    train(tmp_path / "whole")
    in_child(lambda: train(tmp_path / "full", dies_at=4))
    before = contents(tmp_path / "full")
    sizes = {Path(name).name: len(data) for name, data in before.items()}
    assert sizes["net.safetensors"] < sizes["optimizers.safetensors"]
    outcome = refused(lambda: train(tmp_path / "full"), sizes["net.safetensors"])
    assert "optimizers.safetensors" in outcome.error
    assert [step_of(state) for state in states(tmp_path / "full")] == [3]
    load_modules(states(tmp_path / "full")[0], {"net": Line().net})
    assert contents(tmp_path / "full").keys() == before.keys()
    train(tmp_path / "full")
    for name in ("net", "optimizers"):
        path = f"step-00000012/{name}.safetensors"
        mine, theirs = (load_file(tmp_path / run / path) for run in ("full", "whole"))
        assert all(bool((mine[key] == theirs[key]).all()) for key in theirs)


def test_metrics(tmp_path: Path) -> None:
    settings = replace(SETTINGS, steps=60, log_every=1)
    outcome = refused(lambda: train(tmp_path, settings), 4000)
    assert outcome.error.endswith("metrics.jsonl'")
    assert states(tmp_path)
    train(tmp_path, settings)
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [*range(1, 61)]


def test_adapters(tmp_path: Path) -> None:
    checkpoint = chat_checkpoint("qwen3_vl")
    save_adapter(tmp_path / "adapter", checkpoint)
    before = contents(tmp_path)
    for name in ("adapter", "new"):
        refused(lambda name=name: str(save_adapter(tmp_path / name, checkpoint)), 50_000)
        assert contents(tmp_path) == before
    with_adapter(checkpoint, tmp_path / "adapter")
    save_adapter(tmp_path / "new", checkpoint)


def test_the_command_line_says_it_in_one_line(tmp_path: Path) -> None:
    turns = (Turn("what is the total?"),)
    write_records(
        tmp_path / "records.jsonl",
        [Record("a", ("receipt.png",), turns, "toy", "textual", "none", "here")],
    )
    (tmp_path / "heads.json").write_text('{"textual": {"2": [0]}, "natural": {"2": [0]}}')
    (tmp_path / "settings.yaml").write_text("{layout: square, cells: 256, max_new_tokens: 4}")
    command = [
        *("label", "region", str(tmp_path / "records.jsonl"), "--images", str(EXAMPLES)),
        *("--heads", str(tmp_path / "heads.json"), "--settings", str(tmp_path / "settings.yaml")),
        *("--out", str(tmp_path / "labels")),
    ]

    def run() -> tuple[int, str]:
        with redirect_stderr(StringIO()) as shown:
            code = main(command)
        return code, shown.getvalue()

    code, shown = in_child(run, largest_file=1000).value
    path = tmp_path / "labels" / ".draft-00000" / "tensors"
    assert (code, shown) == (1, f"qzoom: File too large: {path}\n")
    assert list(contents(tmp_path / "labels")) == ["settings.json"]
