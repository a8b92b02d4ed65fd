"""Training a branch as low-rank changes to the trunk's layers B+1..B+R (LoRA)."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qzoom.checkpoints.loaded import LoadedCheckpoint
from qzoom.checkpoints.low_rank import LowRank, add_pair
from qzoom.errors import ConfigError
from qzoom.train.branches import copy_trunk_layers
from qzoom.zoom.branches import ZoomAddOn

Branch = Literal["gate", "region"]


class Pair(nn.Module):
    """The change to one projection, in float32: up @ down, zero at first.

    down: of shape `(rank, inputs)`; up: of shape `(outputs, rank)`.
    """

    def __init__(self, inputs: int, outputs: int, rank: int, device: torch.device) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(rank, inputs, device=device))
        self.up = nn.Parameter(torch.zeros(outputs, rank, device=device))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    @torch.no_grad()
    def take(self, down: Tensor, up: Tensor) -> None:
        """Start from a change made before."""
        self.down.copy_(down)
        self.up.copy_(up)


class LowRankLinear(nn.Module):
    """A frozen projection and its change."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.pair = Pair(base.in_features, base.out_features, rank, base.weight.device)

    def forward(self, x: Tensor) -> Tensor:
        """Both applied to rows of shape `(..., inputs)`."""
        out: Tensor = self.base(x)
        change = F.linear(F.linear(x, self.pair.down.to(x.dtype)), self.pair.up.to(x.dtype))
        return out + change

    def merged(self) -> nn.Linear:
        """The projection with its change added to the weight."""
        weight = add_pair(self.base.weight, self.pair.down, self.pair.up)
        self.base.weight = nn.Parameter(weight, requires_grad=False)
        return self.base


def start_low_rank(checkpoint: LoadedCheckpoint, branch: Branch, rank: int) -> LoadedCheckpoint:
    """Make a branch the trunk's layers with changes to train; rank 0 leaves everything as it is.

    Changes of the same rank that the branch was loaded with are gone on from; whatever else its
    layers held is gone. A gate keeps its head.

    Raises:
        ConfigError: When the checkpoint has no such branch or the rank is below 0.
    """
    if rank < 0:
        raise ConfigError(f"lora_rank is {rank}; give 0 for whole branches, or a rank such as 16")
    if rank == 0:
        return checkpoint
    part = _branch(checkpoint, branch)
    layers = checkpoint.trunk.get_submodule("model.language_model.layers")
    assert isinstance(layers, nn.ModuleList)
    config = checkpoint.config
    copy_trunk_layers(part, layers, config.split_layer, config.branch_depth)
    kept = checkpoint.deltas.get(branch, LowRank(0))
    for name, module in list(part.named_modules()):
        if isinstance(module, nn.Linear) and name.endswith("_proj"):
            changed = LowRankLinear(module, rank)
            if kept.rank == rank:
                changed.pair.take(*kept.pairs[f"{name}.weight"])
            part.set_submodule(name, changed)
    return checkpoint


def trained_part(part: nn.Module) -> nn.Module:
    """What of a branch is trained, ready for it: everything, or its changes and its head."""
    pairs: dict[str, nn.Module] = {
        name.replace(".", "-"): module.pair
        for name, module in part.named_modules()
        if isinstance(module, LowRankLinear)
    }
    if not pairs:
        return part.requires_grad_(True)
    head = getattr(part, "head", None)
    return nn.ModuleDict(pairs | ({} if head is None else {"head": head})).requires_grad_(True)


def merge_low_rank(checkpoint: LoadedCheckpoint, branch: Branch) -> LoadedCheckpoint:
    """Ordinary layers again, and the changes kept for `save_adapter`; whole branches stay whole.

    The other branch is kept as a change of rank 0 where it is the trunk's layers.
    """
    part, pairs = _branch(checkpoint, branch), {}
    for name, module in list(part.named_modules()):
        if isinstance(module, LowRankLinear):
            kept = (module.pair.down.detach(), module.pair.up.detach())
            pairs[f"{name}.weight"] = kept
            part.set_submodule(name, module.merged())
    if not pairs:
        return checkpoint
    rank = len(next(iter(pairs.values()))[0])
    unchanged = {"gate": LowRank(0), "region": LowRank(0)}
    deltas = unchanged | dict(checkpoint.deltas) | {branch: LowRank(rank, pairs)}
    return dataclasses.replace(checkpoint, deltas=deltas)


def _branch(checkpoint: LoadedCheckpoint, branch: Branch) -> nn.Module:
    add_on: ZoomAddOn | None = checkpoint.add_on
    part = None if add_on is None else getattr(add_on, branch)
    if part is None:
        raise ConfigError(f"{checkpoint.name} has no {branch} branch to train")
    assert isinstance(part, nn.Module)
    return part
