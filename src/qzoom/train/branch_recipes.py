"""Recipes of the branch trainings; the defaults are the paper's (Table IX)."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

from qzoom.errors import ConfigError
from qzoom.train.loop import LoopSettings
from qzoom.train.optim import OptimSettings


def paper_optim() -> OptimSettings:
    """AdamW at 1e-4 along half a cosine, without weight decay."""
    return OptimSettings(muon_lr=0.0, adamw_lr=1e-4, weight_decay=0.0, schedule="cosine")


@dataclass(frozen=True)
class BranchSettings:
    """Where branches sit that a plain backbone is given: after B layers, R deep (Table XI)."""

    split_layer: int = 0
    branch_depth: int = 3


@dataclass(frozen=True)
class RegionRecipe:
    """Stage 1: the region network on labels.

    Args:
        epochs: Passes over the labels.
        batch_size: Dialogues of a step.
        turns: Most questions about one picture trained in one pass.
        warmup_share: Share of the steps in which the learning rate rises.
        bf16: Autocast; weights and optimiser stay as they are.
        most_bad: Share of the pictures that may be missing or damaged; they are left out.
        branches: For a plain backbone; `split_layer` 0 takes two thirds of its layers.
    """

    seed: int = 0
    epochs: float = 1.0
    batch_size: int = 128
    turns: int = 1
    warmup_share: float = 0.03
    bf16: bool = True
    most_bad: float = 0.05
    save_every: int = 100
    optim: OptimSettings = field(default_factory=paper_optim)
    branches: BranchSettings = field(default_factory=BranchSettings)

    def __post_init__(self) -> None:
        if not self.epochs > 0 or self.batch_size < 1 or self.turns < 1:
            raise ConfigError("epochs, batch_size and turns must be above 0")
        for name in ("warmup_share", "most_bad"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it is a share from 0 to 1")


def loop_settings(recipe: RegionRecipe, samples: int, workers: int) -> LoopSettings:
    """Steps and rates of a training on so many samples."""
    steps = max(1, math.ceil(recipe.epochs * samples / recipe.batch_size))
    warmup = max(1, round(recipe.warmup_share * steps))
    return LoopSettings(
        steps=steps,
        save_every=recipe.save_every,
        log_every=max(1, min(20, steps // 20)),
        workers=workers,
        bf16=recipe.bf16,
        most_bad=recipe.most_bad,
        optim=dataclasses.replace(recipe.optim, warmup_steps=warmup),
    )
