"""Recipes of the branch trainings; the defaults are the paper's (Table IX)."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

from qzoom.errors import ConfigError
from qzoom.labels.gate_samples import GateDraw
from qzoom.train.loop import LoopSettings
from qzoom.train.optim import OptimSettings


def paper_optim() -> OptimSettings:
    """AdamW at 1e-4 along half a cosine, without weight decay."""
    return OptimSettings(muon_lr=0.0, adamw_lr=1e-4, weight_decay=0.0, schedule="cosine")


@dataclass(frozen=True)
class BranchSettings:
    """What a plain backbone is given: branches after B layers, R deep (Table XI), and settings.

    Args:
        split_layer: B; 0 takes two thirds of the layers.
        branch_depth: R.
        roi_threshold, min_crop_cells, max_crop_cells: Of the zoom configuration saved with them.
        lora_rank: Above 0, a branch is trained as low-rank changes to the trunk's layers
            B+1..B+R, whatever it held before.
    """

    split_layer: int = 0
    branch_depth: int = 3
    roi_threshold: float = 0.1
    min_crop_cells: int = 0
    max_crop_cells: int = 0
    lora_rank: int = 0


@dataclass(frozen=True)
class EpochRecipe:
    """What every training on a fixed set of samples is told.

    Args:
        epochs: Passes over the samples.
        batch_size: Samples of a micro-batch.
        accumulate: Micro-batches of a step, over all processes: a step sees `batch_size *
            accumulate` samples wherever they run.
        warmup_share: Share of the steps in which the learning rate rises.
        shard: Several processes hold parts of what is trained (FSDP2), not all of it (DDP).
        tensorboard: Metrics as TensorBoard event files too, under `tensorboard/`.
        bf16: Autocast; weights and optimiser stay as they are.
        save_every: Steps between two states.
        most_bad: Share of the pictures that may be missing or damaged; they are left out.
    """

    seed: int = 0
    epochs: float = 1.0
    batch_size: int = 128
    accumulate: int = 1
    warmup_share: float = 0.03
    bf16: bool = True
    shard: bool = False
    tensorboard: bool = False
    most_bad: float = 0.05
    save_every: int = 100
    optim: OptimSettings = field(default_factory=paper_optim)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate", "save_every"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be above 0")
        for name in ("warmup_share", "most_bad"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it is a share from 0 to 1")


@dataclass(frozen=True)
class BranchRecipe(EpochRecipe):
    """What the trainings of both branches share.

    Args:
        branches: For a plain backbone.
    """

    branches: BranchSettings = field(default_factory=BranchSettings)


@dataclass(frozen=True)
class RegionRecipe(BranchRecipe):
    """Stage 1: the region network on labels; a sample is a dialogue.

    Args:
        turns: Most questions about one picture trained in one pass.
    """

    turns: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.turns < 1:
            raise ConfigError(f"turns is {self.turns}; it must be above 0")


@dataclass(frozen=True)
class GateRecipe(BranchRecipe):
    """Stage 3: the gate on looks drawn anew each epoch; shares as in `GateDraw`."""

    wrong_share: float = GateDraw.wrong_share
    near_step: int = GateDraw.near_step
    easy_per_hard: float = GateDraw.easy_per_hard

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.draw  # checks its numbers

    @property
    def draw(self) -> GateDraw:
        """How looks are drawn."""
        return GateDraw(self.seed, self.wrong_share, self.near_step, self.easy_per_hard)


def loop_settings(recipe: EpochRecipe, samples: int, workers: int) -> LoopSettings:
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
        most_bad=recipe.most_bad,
        optim=dataclasses.replace(recipe.optim, warmup_steps=warmup),
    )
