"""The training loop: one stage, resumable, metrics to JSONL, loud on a non-finite loss."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from qzoom.errors import QZoomError
from qzoom.train.loader import Batch, batches
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
    """How long and how often."""

    steps: int
    save_every: int = 200
    log_every: int = 20
    workers: int = 1
    bf16: bool = True
    optim: OptimSettings = field(default_factory=OptimSettings)


def run_stage(
    stage: Stage, modules: Mapping[str, nn.Module], settings: LoopSettings, folder: Path
) -> None:
    """Train the modules' trainable parameters on one stage until `settings.steps`.

    Raises:
        QZoomError: on a loss that is not finite, before any weight is touched by it.
    """
    named = {
        f"{module_name}.{name}": p
        for module_name, module in modules.items()
        for name, p in module.named_parameters()
    }
    optimizers = OptimizerPair(named, settings.optim)
    folder.mkdir(parents=True, exist_ok=True)
    start = resume(folder, modules, optimizers)
    metrics_file = (folder / "metrics.jsonl").open("a")
    began, window = time.monotonic(), Window()
    for step, batch in enumerate(
        batches(stage.make_batch, start, settings.steps, settings.workers), start
    ):
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.bf16):
            loss, metrics = stage.loss(batch)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise QZoomError(f"{stage.name}: loss is {value} at step {step}; last state kept")
        loss.backward()  # type: ignore[no-untyped-call]
        optimizers.step(step, settings.steps)
        window.add({"loss": value, **metrics})
        if (step + 1) % settings.log_every == 0:
            pace = (time.monotonic() - began) / (step + 1 - start)
            line = {"stage": stage.name, "step": step + 1, "s_per_step": pace, **window.means()}
            metrics_file.write(json.dumps(line) + "\n")
            metrics_file.flush()
            sys.stderr.write(_progress(line, settings.steps))
        if (step + 1) % settings.save_every == 0 or step + 1 == settings.steps:
            save_state(folder, step + 1, modules, optimizers)
    metrics_file.close()


class Window:
    """Running means since the last report."""

    def __init__(self) -> None:
        self.sums: dict[str, list[float]] = {}

    def add(self, values: Mapping[str, float]) -> None:
        """Count one step; values that are not finite (nothing to count) are left out."""
        for key, value in values.items():
            if math.isfinite(value):
                self.sums.setdefault(key, []).append(value)

    def means(self) -> dict[str, float]:
        """Means of each value; starts a new window."""
        means = {key: round(sum(v) / len(v), 4) for key, v in self.sums.items()}
        self.sums.clear()
        return means


def _progress(line: Mapping[str, object], steps: int) -> str:
    left_s = float(str(line["s_per_step"])) * (steps - int(str(line["step"])))
    shown = " ".join(f"{k} {v}" for k, v in line.items() if k not in ("stage", "step", "s_per_step"))
    return f"{line['stage']} {line['step']}/{steps} {shown} ({left_s / 60:.0f} min left)\n"
