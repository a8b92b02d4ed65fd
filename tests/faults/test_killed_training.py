"""Training that is killed again and again ends with the losses and weights it would have had."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.faults.children import contents, in_child
from tests.tiny_chat import chat_checkpoint
from tests.train.toy import SETTINGS, STEPS, Line, Mortal

from qzoom.checkpoints.adapter import save_adapter, with_adapter
from qzoom.train.loop import run_stage
from qzoom.train.metrics import read_metrics

KILLS = 10


def train(folder: Path) -> None:
    stage = Line()
    run_stage(stage, {"net": stage.net}, SETTINGS, folder)


def metrics(folder: Path) -> list[dict[str, Any]]:
    """Lines without the pace, which is the clock's."""
    lines = read_metrics(folder / "metrics.jsonl")
    return [{name: line[name] for name in line if name != "s_per_step"} for line in lines]


def rest(folder: Path) -> dict[str, bytes]:
    """All files but the metrics."""
    return {name: data for name, data in contents(folder).items() if name != "metrics.jsonl"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that nothing disturbs."""
    folder = tmp_path_factory.mktemp("whole")
    train(folder)
    assert [line["step"] for line in metrics(folder)] == list(range(2, STEPS + 1, 2))
    assert set(rest(folder)) == {
        f"step-{STEPS:08d}/{name}"
        for name in ("net.safetensors", "optimizers.safetensors", "COMMITTED.json")
    }
    return folder


def check(folder: Path, whole: Path) -> None:
    train(folder)
    assert metrics(folder) == metrics(whole)
    assert rest(folder) == rest(whole)


def test_a_kill_before_any_change_of_a_file(tmp_path: Path, whole: Path) -> None:
    changes = in_child(lambda: train(tmp_path / "count")).changes
    assert changes > 4 * KILLS
    # The end in every detail, the rest at random points.
    late = changes - 8
    for change in [*Random(0).sample(range(1, late), KILLS), *range(late, changes + 1)]:
        folder = tmp_path / str(change)
        outcome = in_child(lambda folder=folder: train(folder), die_at=change)
        assert outcome.signal == signal.SIGKILL
        check(folder, whole)


def test_ten_kills_in_a_row(tmp_path: Path, whole: Path) -> None:
    rng = Random(2)
    for _ in range(KILLS):
        outcome = in_child(lambda: train(tmp_path), die_at=rng.randint(1, 16))
        assert outcome.signal == signal.SIGKILL
    check(tmp_path, whole)


def test_a_kill_in_the_middle_of_a_write(tmp_path: Path, whole: Path) -> None:
    largest = max(len(data) for data in rest(whole).values())
    for size in Random(3).sample(range(1, largest), KILLS):
        folder = tmp_path / str(size)
        outcome = in_child(
            lambda folder=folder: train(folder), largest_file=size, die_when_full=True
        )
        assert outcome.signal == signal.SIGXFSZ
        check(folder, whole)


def test_metrics_cut_in_their_last_line(tmp_path: Path, whole: Path) -> None:
    def train_to_step_5() -> None:
        stage = Mortal(5)
        run_stage(stage, {"net": stage.net}, SETTINGS, tmp_path)

    assert in_child(train_to_step_5).signal == signal.SIGKILL
    left = contents(tmp_path)
    lines = left["metrics.jsonl"].splitlines(keepends=True)
    # The state is of step 3, the last line of step 4.
    assert [json.loads(line)["step"] for line in lines] == [2, 4]
    for cut in range(0, len(lines[1]), 20):
        folder = tmp_path / str(cut)
        for name, data in {**left, "metrics.jsonl": lines[0] + lines[1][:cut]}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        check(folder, whole)


def test_an_adapter_is_whole_or_not_there(tmp_path: Path) -> None:
    checkpoint = chat_checkpoint("qwen3_vl")
    for replaced in (False, True):
        folder = tmp_path / f"count-{replaced}"
        if replaced:
            save_adapter(folder, checkpoint)
        changes = in_child(lambda folder=folder: str(save_adapter(folder, checkpoint))).changes
        wanted = contents(folder)
        for change in range(1, changes + 1):
            target = tmp_path / f"{replaced}-{change}" / "adapter"
            if replaced:
                save_adapter(target, checkpoint)
            outcome = in_child(
                lambda target=target: str(save_adapter(target, checkpoint)), die_at=change
            )
            assert outcome.signal == signal.SIGKILL
            if (target / "adapter.json").exists():
                with_adapter(checkpoint, target)
            save_adapter(target, checkpoint)
            assert contents(target.parent) == {f"adapter/{k}": v for k, v in wanted.items()}
