"""A projection with a low-rank change beside its frozen weight (LoRA, arXiv 2106.09685)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qzoom.checkpoints.low_rank import add_pair


class Pair(nn.Module):
    """The change to one projection: `scale * up @ down`, zero at first.

    Float32 whatever the weight is: the updates of a training are too small for bfloat16.

    down: of shape `(rank, inputs)`; up: of shape `(outputs, rank)`.
    """

    def __init__(
        self, base: nn.Linear, rank: int, scale: float = 1.0, random: torch.Generator | None = None
    ) -> None:
        super().__init__()
        device = base.weight.device
        bound = 1 / math.sqrt(base.in_features)
        start = torch.empty(rank, base.in_features).uniform_(-bound, bound, generator=random)
        self.down = nn.Parameter(start.to(device))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank, device=device))
        self.scale = scale

    def forward(self, rows: Tensor) -> Tensor:
        """Rows `(..., inputs)` to what is added, float32 `(..., outputs)`."""
        low = F.linear(rows.to(self.down.dtype), self.down)
        return self.scale * F.linear(low, self.up)

    @torch.no_grad()
    def take(self, down: Tensor, up: Tensor) -> None:
        """Start from a change made before."""
        self.down.copy_(down)
        self.up.copy_(up)


class LowRankLinear(nn.Module):
    """A frozen projection and its change."""

    def __init__(self, base: nn.Linear, pair: Pair) -> None:
        super().__init__()
        self.base, self.pair = base.requires_grad_(False), pair

    def forward(self, rows: Tensor) -> Tensor:
        """Rows `(..., inputs)` to `(..., outputs)`."""
        out: Tensor = self.base(rows)
        added: Tensor = self.pair(rows)
        return out + added.to(out.dtype)

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The projection with its change added to the weight."""
        pair = self.pair
        self.base.weight.copy_(add_pair(self.base.weight, pair.down, pair.scale * pair.up))
        return self.base


def changed_projections(root: nn.Module) -> dict[str, LowRankLinear]:
    """Those within a module, by path."""
    return {path: m for path, m in root.named_modules() if isinstance(m, LowRankLinear)}
