"""Low-rank matrices beside frozen projections (LoRA, arXiv 2106.09685), merged before saving."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qzoom.errors import ConfigError

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


class LowRank(nn.Module):
    """`scale * up @ down`, added to a projection's weight; zero at first.

    Float32 whatever the weight is: the updates of a training are too small for bfloat16.
    """

    def __init__(self, linear: nn.Linear, rank: int, scale: float, random: torch.Generator) -> None:
        super().__init__()
        device = linear.weight.device
        bound = 1 / math.sqrt(linear.in_features)
        start = torch.empty(rank, linear.in_features).uniform_(-bound, bound, generator=random)
        self.down = nn.Parameter(start.to(device))
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank, device=device))
        self.scale = scale

    def forward(self, rows: Tensor) -> Tensor:
        """Rows `(..., in)` to what is added, `(..., out)`."""
        low = F.linear(rows.to(self.down.dtype), self.down)
        return self.scale * F.linear(low, self.up)

    @torch.no_grad()
    def delta(self) -> Tensor:
        """What is added to the weight, of shape `(out, in)`."""
        return self.scale * (self.up @ self.down)


class LoraLinear(nn.Module):
    """A projection and what is added to it."""

    def __init__(self, base: nn.Linear, low_rank: LowRank) -> None:
        super().__init__()
        self.base, self.low_rank = base, low_rank

    def forward(self, rows: Tensor) -> Tensor:
        """Rows `(..., in)` to `(..., out)`."""
        out: Tensor = self.base(rows)
        added: Tensor = self.low_rank(rows)
        return out + added.to(out.dtype)


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
        parent, _, name = path.rpartition(".")
        if isinstance(module, nn.Linear) and name in settings.targets:
            low_rank = LowRank(module, settings.rank, scale, random)
            setattr(layers.get_submodule(parent), name, LoraLinear(module, low_rank))
            added[path.replace(".", "-")] = low_rank
    if not added:
        raise ConfigError(f"no decoder layer has a projection of {', '.join(settings.targets)}")
    return added


@torch.no_grad()
def merge_lora(layers: nn.Module) -> None:
    """Add the matrices to their weights and put the plain projections back, in place."""
    for path, module in list(layers.named_modules()):
        if isinstance(module, LoraLinear):
            weight = module.base.weight
            weight.copy_(weight.float() + module.low_rank.delta())
            parent, _, name = path.rpartition(".")
            setattr(layers.get_submodule(parent), name, module.base)
