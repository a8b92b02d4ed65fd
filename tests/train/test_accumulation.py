"""Gradient accumulation: many micro-batches of a step are one larger batch."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.tiny_chat import chat_checkpoint
from tests.train.parts import snapshot
from tests.train.toy import SETTINGS, Line
from torch import Tensor

from qzoom.errors import ConfigError, QZoomError
from qzoom.labels.tristate import IGNORE
from qzoom.train.branch_recipes import RegionRecipe, loop_settings
from qzoom.train.gate_stage import GateLook, GateStage
from qzoom.train.label_index import LabelIndex
from qzoom.train.loader import Batch
from qzoom.train.loop import LoopSettings, run_stage
from qzoom.train.metrics import read_metrics
from qzoom.train.optim import OptimSettings
from qzoom.train.region_stage import RegionStage
from qzoom.train.step_report import MicroReport, StepReport, samples_of, weight_of
from qzoom.zoom.model import ZoomModel

EXACT = dataclasses.replace(SETTINGS, bf16=False, log_every=1)


class Masked(Line):
    """Mean error over the points that count, of `size` points at each place."""

    def __init__(self, size: int, seed: int = 0) -> None:
        super().__init__(seed)
        self.size = size

    def make_batch(self, place: int) -> Batch:
        points = [_point(n) for n in range(place * self.size, (place + 1) * self.size)]
        known = np.array([point["known"] for point in points])
        return {
            "step": np.array(place),
            "x": np.stack([point["x"] for point in points]),
            "known": known,
            "loss_weight": np.array(known.sum()),
            "sample_ids": np.array([point["id"] for point in points]),
        }

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        x, known = torch.as_tensor(batch["x"]), torch.as_tensor(batch["known"])
        errors = (self.net(x)[:, 0] - x.sum(1)).square()
        loss = errors[known].mean() if bool(known.any()) else 0.0 * errors.sum()
        self.losses[int(batch["step"])] = float(loss.detach())
        return loss, {"known": float(known.float().mean())}


def _point(number: int) -> dict[str, Any]:
    rng = np.random.default_rng(number)
    # Runs of unknown points, so that some micro-batches have nothing that counts.
    known = rng.random() < 0.6 and number // 2 % 3 != 0
    return {"x": rng.normal(size=4).astype(np.float32), "known": known, "id": f"p{number}"}


def run(stage: Line, folder: Path, settings: LoopSettings) -> list[float]:
    run_stage(stage, {"net": stage.net}, settings, folder)
    return [line["loss"] for line in read_metrics(folder / "metrics.jsonl")]


@pytest.mark.parametrize("accumulate", [2, 4])
def test_micro_batches_are_the_larger_batch(tmp_path: Path, accumulate: int) -> None:
    whole, parts = Masked(8), Masked(8 // accumulate)
    losses = run(whole, tmp_path / "whole", EXACT)
    many = dataclasses.replace(EXACT, accumulate=accumulate)
    assert run(parts, tmp_path / "parts", many) == pytest.approx(losses, abs=1e-4)
    assert len(losses) == EXACT.steps
    assert len(parts.losses) == accumulate * EXACT.steps
    assert 0.0 in parts.losses.values()
    for name, value in snapshot(whole.net).items():
        torch.testing.assert_close(parts.net.state_dict()[name], value, atol=1e-5, rtol=1e-4)


class Stopped(Exception):
    """Stands for a kill between two micro-batches."""


class Stopping(Masked):
    """Ends inside step 7."""

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        if int(batch["step"]) == 7 * 4 + 2:
            raise Stopped
        return super().loss(batch)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stop_inside_a_step_goes_on_exactly(tmp_path: Path, workers: int) -> None:
    settings = dataclasses.replace(EXACT, accumulate=4, workers=workers)
    whole, rest = Masked(2), Masked(2, seed=9)
    losses = run(whole, tmp_path / "whole", settings)
    with pytest.raises(Stopped):
        run(Stopping(2), tmp_path / "parts", settings)
    assert run(rest, tmp_path / "parts", settings) == losses
    assert rest.losses == {place: whole.losses[place] for place in range(24, 48)}
    for name, value in snapshot(whole.net).items():
        assert torch.equal(rest.net.state_dict()[name], value)


class Broken(Masked):
    """Its loss is not a number where point 37 is seen."""

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        loss, metrics = super().loss(batch)
        return (loss * torch.nan if "p37" in batch["sample_ids"] else loss), metrics


def test_a_loss_that_is_not_finite_names_step_and_samples(tmp_path: Path) -> None:
    settings = dataclasses.replace(EXACT, accumulate=2)
    with pytest.raises(QZoomError) as caught:
        run(Broken(4), tmp_path, settings)
    assert str(caught.value) == (
        "line: loss is nan at step 4 (samples p36, p37, p38, p39); the last state is kept"
    )


def test_a_report_shows_only_some_samples() -> None:
    many = tuple(f"s{n}" for n in range(20))
    report = StepReport("region", 3, [MicroReport(0, 1.0, 2.0, {}, many)])
    report.check_losses()
    with pytest.raises(QZoomError, match=r"norm is inf at step 3 \(samples s0, .*s7 and 12 more\)"):
        report.check_gradient(float("inf"))


def test_losses_are_weighted_and_metrics_are_not() -> None:
    micro = [
        MicroReport(0, 1.0, 3.0, {"right": 0.5, "rare": float("nan")}),
        MicroReport(1, 5.0, 1.0, {"right": 1.0}),
    ]
    assert StepReport("s", 0, micro).metrics(2.0) == {
        "loss": 2.0,
        "gradient_norm": 2.0,
        "right": 0.75,
    }
    empty = StepReport("s", 0, [MicroReport(0, 0.0, 0.0, {})])
    assert (empty.gradient_scale, empty.metrics(0.0)["loss"]) == (1.0, 0.0)


def test_region_batches_count_labelled_cells_and_name_their_turns(labelled: Path) -> None:
    index = LabelIndex.open(labelled / "labels", turns=2)
    stage = RegionStage(ZoomModel(chat_checkpoint("qwen3_vl")), index, labelled, 2, seed=1)
    batch = stage.make_batch(0)
    assert weight_of(batch) == (batch["labels"] != IGNORE).sum() > 0
    dialogues = index.batch(0, 2, 1)
    assert samples_of(batch) == tuple(turn.id for dialogue in dialogues for turn in dialogue)


def test_gate_batches_count_known_looks_and_name_them(labelled: Path) -> None:
    looks = [GateLook("0.png", "a", 1, id="first"), GateLook("1.png", "b", IGNORE)]
    stage = GateStage(ZoomModel(chat_checkpoint("qwen3_vl")), lambda _: looks, labelled)
    batch = stage.make_batch(0)
    assert weight_of(batch) == 1.0
    assert samples_of(batch) == ("first", "1.png")


def test_region_micro_batches_are_the_larger_batch(labelled: Path, tmp_path: Path) -> None:
    optim = OptimSettings(muon_lr=0.0, adamw_lr=1e-3, warmup_steps=1, decay_steps=1)
    trained, losses = [], []
    for size, accumulate in ((4, 1), (2, 2)):
        index = LabelIndex.open(labelled / "labels")
        model = ZoomModel(chat_checkpoint("qwen3_vl", eos=None))
        stage = RegionStage(model, index, labelled, size, seed=1)
        settings = LoopSettings(
            steps=3, accumulate=accumulate, log_every=1, workers=0, bf16=False, optim=optim
        )
        folder = tmp_path / str(size)
        run_stage(stage, stage.modules, settings, folder)
        trained.append(snapshot(stage.modules["region"]))
        losses.append([line["loss"] for line in read_metrics(folder / "metrics.jsonl")])
    assert losses[1] == pytest.approx(losses[0], abs=2e-4)
    for name, value in trained[0].items():
        torch.testing.assert_close(trained[1][name], value, atol=2e-5, rtol=1e-3)


def test_recipes_count_steps_in_whole_batches() -> None:
    settings = loop_settings(RegionRecipe(batch_size=16, accumulate=8), 185_000, 1)
    assert (settings.steps, settings.accumulate) == (1446, 8)
    with pytest.raises(ConfigError, match="accumulate is 0; it must be above 0"):
        RegionRecipe(accumulate=0)
    with pytest.raises(ConfigError, match="accumulate is 0"):
        LoopSettings(steps=1, accumulate=0)
