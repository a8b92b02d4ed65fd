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
from qzoom.train.state import resume, save_state


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
    """How long and how often, in steps; `bf16` runs the stage under autocast."""

    steps: int
    save_every: int = 100
    log_every: int = 20
    workers: int = 1
    bf16: bool = True
    optim: OptimSettings = field(default_factory=OptimSettings)


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
    work = batches(stage.make_batch, start, last, settings.workers)
    with log, closing(work):
        for step, batch in enumerate(work, start):
            metrics = _train_step(stage, batch, optimizers, step, settings)
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
