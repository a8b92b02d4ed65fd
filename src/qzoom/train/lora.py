"""Low-rank matrices beside the projections of all decoder layers, merged before saving."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from qzoom.errors import ConfigError
from qzoom.train.low_rank_linear import LowRankLinear, Pair, changed_projections

Projection = Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@dataclass(frozen=True)
class LoraSettings:
    """Which projections of every decoder layer get matrices.

    Args:
        rank: Of the matrices; 0 for none.
        alpha: What they add is scaled by `alpha / rank`.
        targets: Names of projections.
    """

    rank: int = 0
    alpha: float = 16.0
    targets: tuple[Projection, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")

    def __post_init__(self) -> None:
        if self.rank < 0 or not self.alpha > 0 or not self.targets:
            raise ConfigError("lora needs a rank of at least 0, alpha above 0 and a target")


def add_lora(layers: nn.Module, settings: LoraSettings, seed: int) -> nn.ModuleDict:
    """Put matrices beside the target projections, in place.

    Returns:
        the matrices alone, by the projection's path with "-" for ".".

    Raises:
        ConfigError: For layers without a target.
    """
    random = torch.Generator().manual_seed(seed)
    scale = settings.alpha / max(settings.rank, 1)
    added = nn.ModuleDict()
    for path, module in list(layers.named_modules()):
        if isinstance(module, nn.Linear) and path.rpartition(".")[2] in settings.targets:
            pair = Pair(module, settings.rank, scale, random)
            layers.set_submodule(path, LowRankLinear(module, pair))
            added[path.replace(".", "-")] = pair
    if not added:
        raise ConfigError(f"no decoder layer has a projection of {', '.join(settings.targets)}")
    return added


def merge_lora(layers: nn.Module) -> None:
    """Add the matrices to their weights and put the plain projections back, in place."""
    for path, module in changed_projections(layers).items():
        layers.set_submodule(path, module.merged())
