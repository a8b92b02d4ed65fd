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
    """Where branches sit that a plain backbone is given: after B layers, R deep (Table XI).

    lora_rank: above 0, a branch is trained as low-rank changes to the trunk's layers B+1..B+R,
        whatever it held before.
    """

    split_layer: int = 0
    branch_depth: int = 3
    lora_rank: int = 0


@dataclass(frozen=True)
class RegionRecipe:
    """Stage 1: the region network on labels.

    Args:
        epochs: Passes over the labels.
        batch_size: Dialogues of a micro-batch.
        accumulate: Micro-batches of a step, over all processes: a step sees `batch_size *
            accumulate` dialogues wherever they run.
        turns: Most questions about one picture trained in one pass.
        warmup_share: Share of the steps in which the learning rate rises.
        shard: Several processes hold parts of what is trained (FSDP2), not all of it (DDP).
        tensorboard: Metrics as TensorBoard event files too, under `tensorboard/`.
        bf16: Autocast; weights and optimiser stay as they are.
        branches: For a plain backbone; `split_layer` 0 takes two thirds of its layers.
    """

    seed: int = 0
    epochs: float = 1.0
    batch_size: int = 128
    accumulate: int = 1
    turns: int = 1
    warmup_share: float = 0.03
    bf16: bool = True
    shard: bool = False
    tensorboard: bool = False
    save_every: int = 100
    optim: OptimSettings = field(default_factory=paper_optim)
    branches: BranchSettings = field(default_factory=BranchSettings)

    def __post_init__(self) -> None:
        if not self.epochs > 0 or min(self.batch_size, self.accumulate, self.turns) < 1:
            raise ConfigError("epochs, batch_size, accumulate and turns must be above 0")
        if not 0 <= self.warmup_share <= 1:
            raise ConfigError(f"warmup_share is {self.warmup_share}; it is a share from 0 to 1")


def loop_settings(recipe: RegionRecipe, samples: int, workers: int) -> LoopSettings:
    """Steps and rates of a training on so many samples."""
    step_size = recipe.batch_size * recipe.accumulate
    steps = max(1, math.ceil(recipe.epochs * samples / step_size))
    warmup = max(1, round(recipe.warmup_share * steps))
    return LoopSettings(
        steps=steps,
        accumulate=recipe.accumulate,
        save_every=recipe.save_every,
        log_every=max(1, min(20, steps // 20)),
        workers=workers,
        bf16=recipe.bf16,
        shard=recipe.shard,
        tensorboard=recipe.tensorboard,
        optim=dataclasses.replace(recipe.optim, warmup_steps=warmup),
    )
