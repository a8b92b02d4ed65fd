"""Training a branch as low-rank changes to the trunk's layers B+1..B+R (LoRA)."""

from __future__ import annotations

import dataclasses
from typing import Literal

from torch import nn

from qzoom.checkpoints.loaded import LoadedCheckpoint
from qzoom.checkpoints.low_rank import LowRank
from qzoom.errors import ConfigError
from qzoom.train.branches import copy_trunk_layers
from qzoom.train.low_rank_linear import LowRankLinear, Pair, changed_projections
from qzoom.zoom.branches import ZoomAddOn

Branch = Literal["gate", "region"]


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
            pair = Pair(module, rank)
            if kept.rank == rank:
                pair.take(*kept.pairs[f"{name}.weight"])
            part.set_submodule(name, LowRankLinear(module, pair))
    return checkpoint


def trained_part(part: nn.Module) -> nn.Module:
    """What of a branch is trained, ready for it: everything, or its changes and its head."""
    pairs: dict[str, nn.Module] = {
        name.replace(".", "-"): module.pair for name, module in changed_projections(part).items()
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
    for name, module in changed_projections(part).items():
        pairs[f"{name}.weight"] = (module.pair.down.detach(), module.pair.up.detach())
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
