"""The training loop: one stage, resumable, loud on a loss or gradient that is not finite."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from qzoom.errors import ConfigError
from qzoom.train.loader import Batch, batches
from qzoom.train.metrics import MetricsLog
from qzoom.train.optim import OptimizerPair, OptimSettings
from qzoom.train.state import resume, save_state
from qzoom.train.step_report import MicroReport, StepReport, samples_of, weight_of


class Stage(Protocol):
    """What the loop needs of a stage."""

    name: str

    def make_batch(self, place: int, /) -> Batch:
        """The micro-batch at a place of the training's sequence, computed in a worker.

        A pure function of `place`; step n of the loop takes the places from n * accumulate on. Two
        keys are read by the loop where they are there: `loss_weight` and `sample_ids`.
        """
        ...

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Loss and metrics of a batch: the loss a mean over `loss_weight` equal parts."""
        ...


@dataclass(frozen=True)
class LoopSettings:
    """How long and how often, in steps; `bf16` runs the stage under autocast.

    accumulate: micro-batches of a step. The step's loss is their mean, weighted by `loss_weight`.
    """

    steps: int
    accumulate: int = 1
    save_every: int = 100
    log_every: int = 20
    workers: int = 1
    bf16: bool = True
    optim: OptimSettings = field(default_factory=OptimSettings)

    def __post_init__(self) -> None:
        if self.accumulate < 1:
            raise ConfigError(f"accumulate is {self.accumulate}; a step has at least 1 micro-batch")


def run_stage(
    stage: Stage, modules: Mapping[str, nn.Module], settings: LoopSettings, folder: Path
) -> None:
    """Train the modules' trainable parameters on one stage until `settings.steps`.

    States and `metrics.jsonl` go into the folder; a run that was stopped goes on from its last
    state and computes exactly what it would have without the stop.

    Raises:
        CheckpointError: when the folder's state does not fit the modules.
        QZoomError: on a loss or gradient that is not finite, before it touches any weight.
        RuntimeError: when a data worker died.
    """
    optimizers = OptimizerPair(_named_parameters(modules), settings.optim)
    folder.mkdir(parents=True, exist_ok=True)
    start, last = resume(folder, modules, optimizers), settings.steps
    if start >= last:
        sys.stderr.write(f"{stage.name}: all {last} steps are done\n")
        return
    log = MetricsLog(folder / "metrics.jsonl", stage.name, start, last, settings.log_every)
    each = settings.accumulate
    work = batches(stage.make_batch, start * each, last * each, settings.workers)
    with log, closing(work):
        for step in range(start, last):
            metrics = _train_step(stage, work, optimizers, step, settings)
            if line := log.add(step + 1, metrics):
                sys.stderr.write(line)
            if (step + 1) % settings.save_every == 0 or step + 1 == last:
                save_state(folder, step + 1, modules, optimizers)


def _named_parameters(modules: Mapping[str, nn.Module]) -> dict[str, nn.Parameter]:
    return {
        f"{module_name}.{name}": parameter
        for module_name, module in modules.items()
        for name, parameter in module.named_parameters()
    }


def _train_step(
    stage: Stage,
    work: Iterator[Batch],
    optimizers: OptimizerPair,
    step: int,
    settings: LoopSettings,
) -> dict[str, float]:
    """One update from the next micro-batches; the metrics of the step, the loss first."""
    device = next(iter(optimizers.named.values())).device.type
    micro = [
        _backward(stage, next(work), index, device, settings)
        for index in range(settings.accumulate)
    ]
    report = StepReport(stage.name, step, micro)
    report.check_losses()
    norm = optimizers.step(step, settings.steps, report.gradient_scale)
    report.check_gradient(norm)
    return report.metrics(norm)


def _backward(
    stage: Stage, batch: Batch, index: int, device: str, settings: LoopSettings
) -> MicroReport:
    """Add a micro-batch's gradients, weighted; the sum is divided when all are there."""
    with torch.autocast(device, torch.bfloat16, enabled=settings.bf16):
        loss, metrics = stage.loss(batch)
    # Where a step is one micro-batch, its weight cancels out: leave the gradients as they are.
    weight = weight_of(batch) if settings.accumulate > 1 else 1.0
    (loss * weight).backward()  # type: ignore[no-untyped-call]
    return MicroReport(index, float(loss.detach()), weight, metrics, samples_of(batch))
