"""Recipe of the post-SFT training; the defaults are the paper's (Table IX)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Literal, get_args

from qzoom.errors import ConfigError
from qzoom.train.branch_recipes import EpochRecipe, paper_optim
from qzoom.train.lora import LoraSettings
from qzoom.train.optim import OptimSettings

Trainable = Literal["decoder", "all"]


def sft_optim() -> OptimSettings:
    """As of the branches, at a hundredth of the learning rate: 1e-6."""
    return dataclasses.replace(paper_optim(), adamw_lr=1e-6)


@dataclass(frozen=True)
class SftRecipe(EpochRecipe):
    """Stage 2: the trunk on answers to questions that a crop spoiled.

    Args:
        trainable: "decoder" is the decoder layers, the final norm and the language head; "all" the
            vision tower and the input embedding too.
        lora: Low-rank matrices in place of whole weights; rank 0 for none.
        recompute: Keep only what enters each decoder layer and run it again for its gradients:
            less memory, a third more time.
    """

    batch_size: int = 64
    optim: OptimSettings = field(default_factory=sft_optim)
    trainable: Trainable = "decoder"
    lora: LoraSettings = field(default_factory=LoraSettings)
    recompute: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.trainable not in get_args(Trainable):
            raise ConfigError(f"trainable is {self.trainable!r}; use 'decoder' or 'all'")
        if self.lora.rank and self.trainable == "all":
            raise ConfigError(
                "lora trains matrices of the decoder alone; set trainable to decoder or lora.rank "
                "to 0"
            )
