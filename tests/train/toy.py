"""A stage small enough to train many steps in a test, and a script that dies in the middle."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from qzoom.train.loader import Batch
from qzoom.train.loop import LoopSettings, run_stage
from qzoom.train.optim import OptimSettings

STEPS = 12
SETTINGS = LoopSettings(
    steps=STEPS,
    save_every=3,
    log_every=2,
    workers=0,
    optim=OptimSettings(warmup_steps=3, decay_steps=4),
)


class Line:
    """Regression on random points; every loss is written down."""

    name = "line"

    def __init__(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
        self.losses: dict[int, float] = {}

    def make_batch(self, step: int) -> Batch:
        """Points of a step."""
        rng = np.random.default_rng(step)
        return {"step": np.array(step), "x": rng.normal(size=(16, 4)).astype(np.float32)}

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Squared error."""
        x = torch.as_tensor(batch["x"])
        loss = (self.net(x)[:, 0].float() - x.sum(1)).square().mean()
        self.losses[int(batch["step"])] = float(loss.detach())
        return loss, {"worst": float(loss.detach()) * 2, "nothing": float("nan")}


class Mortal(Line):
    """Kills its own process before a step."""

    def __init__(self, last: int) -> None:
        super().__init__()
        self.last = last

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Squared error, or the end."""
        if int(batch["step"]) == self.last:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().loss(batch)


if __name__ == "__main__":
    stage = Mortal(int(sys.argv[2]))
    run_stage(stage, {"net": stage.net}, SETTINGS, Path(sys.argv[1]))
