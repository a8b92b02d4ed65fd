"""The loop: a stopped training goes on exactly, and nothing that is not finite gets in."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.train import toy
from tests.train.parts import make_heads, make_model, moved, snapshot
from tests.train.toy import SETTINGS, STEPS, Line
from torch import Tensor

from qzoom.errors import QZoomError
from qzoom.train.cells import CellStage
from qzoom.train.loader import Batch
from qzoom.train.loop import LoopSettings, run_stage
from qzoom.train.metrics import read_metrics
from qzoom.train.state import states, step_of

ROOT = Path(__file__).resolve().parents[2]


class Stopped(Exception):
    """Stands for a kill between two steps."""


class Stopping(Line):
    def __init__(self, last: int) -> None:
        super().__init__()
        self.last = last

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        if int(batch["step"]) == self.last:
            raise Stopped
        return super().loss(batch)


def run(stage: Line, folder: Path, settings: LoopSettings = SETTINGS) -> Line:
    run_stage(stage, {"net": stage.net}, settings, folder)
    return stage


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """A training that was never stopped."""
    return run(Line(), tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("last", [1, 4, 8, 11])
def test_a_stopped_training_goes_on_exactly(whole: Line, tmp_path: Path, last: int) -> None:
    with pytest.raises(Stopped):
        run(Stopping(last), tmp_path)
    resumed = run(Line(seed=99 if last >= 3 else 0), tmp_path)
    first = last // 3 * 3
    assert resumed.losses == {step: whole.losses[step] for step in range(first, STEPS)}
    assert not moved(resumed.net, snapshot(whole.net))


def test_a_killed_training_goes_on_exactly(whole: Line, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    done = subprocess.run([sys.executable, toy.__file__, str(tmp_path), "7"], env=environment)
    assert done.returncode == -signal.SIGKILL
    assert [step_of(state) for state in states(tmp_path)] == [6]
    resumed = run(Line(seed=5), tmp_path)
    assert resumed.losses == {step: whole.losses[step] for step in range(6, STEPS)}
    assert not moved(resumed.net, snapshot(whole.net))


def test_the_real_thing_goes_on_exactly(tmp_path: Path) -> None:
    settings = LoopSettings(steps=4, save_every=2, workers=0)

    def train(folder: Path, seed: int, steps: int) -> tuple[torch.nn.Module, torch.nn.Module]:
        model = make_model(seed)
        visual, heads = model.model.visual, make_heads(model, seed)
        stage = CellStage(visual, heads, 0, batch_size=2, side=2)
        short = dataclasses.replace(settings, steps=steps)
        # The schedule looks at the last step, so a shorter run must not decay.
        short = dataclasses.replace(short, optim=dataclasses.replace(short.optim, decay_steps=1))
        run_stage(stage, {"visual": visual, "heads": heads}, short, folder)
        return visual, heads

    once = train(tmp_path / "once", 0, 4)
    train(tmp_path / "twice", 0, 2)
    twice = train(tmp_path / "twice", 1, 4)
    for mine, theirs in zip(once, twice, strict=True):
        assert not moved(mine, snapshot(theirs))


def test_workers_change_no_step(whole: Line, tmp_path: Path) -> None:
    stage = run(Line(), tmp_path, dataclasses.replace(SETTINGS, workers=2))
    assert stage.losses == whole.losses


class Bad(Line):
    """Becomes not finite at a step: its loss, or its gradient alone."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        loss, metrics = super().loss(batch)
        if int(batch["step"]) == 5:
            self.before = snapshot(self.net)
            # The root of zero is zero, its slope is not a number.
            bad = loss * torch.nan if self.what == "loss" else loss + (loss * 0).sqrt() * 0
            return bad, metrics
        return loss, metrics


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_not_finite_stops_before_any_weight_moves(what: str, tmp_path: Path) -> None:
    stage = Bad(what)
    with pytest.raises(QZoomError, match=rf"line: .*{what}.* at step 5; the last state is kept"):
        run(stage, tmp_path)
    assert not moved(stage.net, stage.before)
    assert [step_of(state) for state in states(tmp_path)] == [3]


def test_a_finished_stage_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(Line(), tmp_path)
    capsys.readouterr()
    again = run(Line(seed=3), tmp_path)
    assert again.losses == {}
    assert capsys.readouterr().err == "line: all 12 steps are done\n"


def test_metrics_are_json_lines_without_repeats(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        run(Stopping(5), tmp_path)
    path = tmp_path / "metrics.jsonl"
    assert [line["step"] for line in read_metrics(path)] == [2, 4]
    with path.open("a") as file:
        file.write('{"stage": "li')  # what a kill may leave behind
    run(Line(), tmp_path)
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 10, 12]
    names = {"stage", "step", "s_per_step", "loss", "gradient_norm", "worst"}
    assert all(set(line) == names for line in lines)
    assert {line["stage"] for line in lines} == {"line"}
    assert "NaN" not in path.read_text()


def test_progress_says_where_and_how_long(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(Line(), tmp_path)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6
    pattern = r"line (\d+)/12 loss [\d.e+-]+ gradient_norm [\d.e+-]+ worst [\d.e+-]+ \(0 min left\)"
    shown = [re.fullmatch(pattern, line) for line in lines]
    assert [int(match[1]) for match in shown if match] == [2, 4, 6, 8, 10, 12]
