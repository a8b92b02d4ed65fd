"""The training loop: one stage, resumable, loud on a loss or gradient that is not finite."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from qzoom.errors import QZoomError
from qzoom.train.loader import Batch, batches
from qzoom.train.metrics import MetricsLog
from qzoom.train.optim import OptimizerPair, OptimSettings
from qzoom.train.pictures import PictureTally, none_left
from qzoom.train.state import read_notes, resume, save_state


class Stage(Protocol):
    """What the loop needs of a stage."""

    name: str

    def make_batch(self, step: int) -> Batch:
        """Batch of a step, computed in a worker."""
        ...

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Loss and metrics of a batch."""
        ...


@dataclass(frozen=True)
class LoopSettings:
    """How long and how often, in steps; `bf16` runs the stage under autocast.

    most_bad: share of the pictures that may be missing or damaged.
    """

    steps: int
    save_every: int = 100
    log_every: int = 20
    workers: int = 1
    bf16: bool = True
    most_bad: float = 0.05
    optim: OptimSettings = field(default_factory=OptimSettings)


def run_stage(
    stage: Stage, modules: Mapping[str, nn.Module], settings: LoopSettings, folder: Path
) -> None:
    """Train the modules' trainable parameters on one stage until `settings.steps`.

    States and `metrics.jsonl` go into the folder; a run that was stopped goes on from its last
    state and computes exactly what it would have without the stop.

    Raises:
        CheckpointError: when the folder's state does not fit the modules.
        DataError: when more pictures are bad than the settings allow; the last state is kept.
        QZoomError: on a loss or gradient that is not finite, before it touches any weight; when a
            data worker died.
        OSError: when a state or a metric cannot be written, such as to a full disk.
    """
    optimizers = OptimizerPair(_named_parameters(modules), settings.optim)
    folder.mkdir(parents=True, exist_ok=True)
    start, last = resume(folder, modules, optimizers), settings.steps
    if start >= last:
        sys.stderr.write(f"{stage.name}: all {last} steps are done\n")
        return
    notes = read_notes(folder)
    log = MetricsLog(folder / "metrics.jsonl", stage.name, start, last, settings.log_every)
    log.window.sums.update(notes.get("window", {}))
    pictures = PictureTally(settings.most_bad, *notes.get("pictures", ()))
    work = batches(stage.make_batch, start, last, settings.workers)
    with log, closing(work):
        for step, batch in enumerate(work, start):
            pictures.add(batch, last=step + 1 == last)
            metrics = {}
            if not none_left(batch):
                metrics = _train_step(stage, batch, optimizers, step, settings)
            if line := log.add(step + 1, metrics, pictures.metrics()):
                sys.stderr.write(line)
            if (step + 1) % settings.save_every == 0 or step + 1 == last:
                notes = {"window": log.window.sums, "pictures": [pictures.asked, pictures.bad]}
                save_state(folder, step + 1, modules, optimizers, notes)


def _named_parameters(modules: Mapping[str, nn.Module]) -> dict[str, nn.Parameter]:
    return {
        f"{module_name}.{name}": parameter
        for module_name, module in modules.items()
        for name, parameter in module.named_parameters()
    }


def _train_step(
    stage: Stage, batch: Batch, optimizers: OptimizerPair, step: int, settings: LoopSettings
) -> dict[str, float]:
    """One update; the metrics of its batch, the loss first."""
    device = next(iter(optimizers.named.values())).device.type
    with torch.autocast(device, torch.bfloat16, enabled=settings.bf16):
        loss, metrics = stage.loss(batch)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise QZoomError(f"{stage.name}: loss is {value} at step {step}; the last state is kept")
    loss.backward()  # type: ignore[no-untyped-call]
    norm = optimizers.step(step, settings.steps)
    if not math.isfinite(norm):
        raise QZoomError(
            f"{stage.name}: the gradient's norm is {norm} at step {step}; the last state is kept"
        )
    return {"loss": value, "gradient_norm": norm, **metrics}
