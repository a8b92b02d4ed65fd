"""Branches stored as what they add to the trunk's layers: each projection is W + up @ down.

Shapes: O rows and I columns of a projection's weight, R rank. A *member* is the name of a tensor
within its branch; a full name has the branch in front, as in `ZoomAddOn`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from qzoom.zoom.branches import trunk_source

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from qzoom.checkpoints.loaded import LoadedCheckpoint
    from qzoom.zoom.config import ZoomConfig

_WEIGHT: Final = "_proj.weight"


@dataclass(frozen=True)
class LowRank:
    """A branch as the trunk's layers and the changes to their projections.

    rank: 0 where nothing is changed.
    pairs: by member, `down` of shape `(R, I)` and `up` of shape `(O, R)`.
    """

    rank: int
    pairs: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)


def add_pair(weight_oi: Tensor, down_ri: Tensor, up_or: Tensor) -> Tensor:
    """A projection's weight with its change, computed in float32, in the weight's own type."""
    down, up = (part.detach().to(weight_oi.device, torch.float32) for part in (down_ri, up_or))
    return torch.addmm(weight_oi.detach().float(), up, down).to(weight_oi.dtype)


def stored_shapes(
    shapes: Mapping[str, tuple[int, ...]], ranks: Mapping[str, int], depth: int
) -> dict[str, tuple[int, ...]]:
    """Shapes of an adapter's tensors by full name.

    Args:
        shapes: of the branches' tensors, by full name.
        ranks: of the branches that are stored as changes; the others are stored whole.
        depth: layers of a branch.
    """
    found: dict[str, tuple[int, ...]] = {}
    for name, shape in shapes.items():
        branch, _, member = name.partition(".")
        if branch not in ranks or trunk_source(member, depth) is None:
            found[name] = shape
        elif ranks[branch] and name.endswith(_WEIGHT):
            down, up = _pair_names(name)
            found[down], found[up] = (ranks[branch], shape[1]), (shape[0], ranks[branch])
    return found


def stored_tensors(checkpoint: LoadedCheckpoint) -> tuple[dict[str, Tensor], dict[str, int]]:
    """An adapter's tensors by full name, and the ranks of the branches stored as changes.

    A branch whose weights are not those of the trunk with the recorded changes is stored whole.
    """
    assert checkpoint.add_on is not None
    tensors, ranks = dict(checkpoint.add_on.state_dict()), {}
    for branch, low in checkpoint.deltas.items():
        members = [name.partition(".")[2] for name in tensors if name.startswith(f"{branch}.")]
        made = _from_trunk(checkpoint.trunk, checkpoint.config, members, low)
        if not made or not all(
            torch.equal(tensors[f"{branch}.{name}"], made[name]) for name in made
        ):
            continue
        ranks[branch] = low.rank
        for member in made:
            del tensors[f"{branch}.{member}"]
        for member, pair in low.pairs.items():
            tensors |= zip(_pair_names(f"{branch}.{member}"), pair, strict=True)
    return tensors, ranks


def restored_tensors(
    names: Iterable[str],
    stored: Mapping[str, Tensor],
    ranks: Mapping[str, int],
    trunk: PreTrainedModel,
    config: ZoomConfig,
) -> tuple[dict[str, Tensor], dict[str, LowRank]]:
    """Whole branches, and the changes that some of them were made of.

    Args:
        names: full names of all tensors of the branches.
        stored: an adapter's tensors, by full name.
        ranks: as `stored_tensors` gave them.
    """
    tensors, deltas = {name: stored[name] for name in names if name in stored}, {}
    for branch, rank in ranks.items():
        missing = [n.partition(".")[2] for n in names if n.startswith(f"{branch}.")]
        pairs = {
            member: (stored[down], stored[up])
            for member in missing
            for down, up in [_pair_names(f"{branch}.{member}")]
            if down in stored
        }
        deltas[branch] = LowRank(rank, pairs)
        made = _from_trunk(trunk, config, missing, deltas[branch])
        tensors |= {f"{branch}.{member}": value for member, value in made.items()}
    return tensors, deltas


def _from_trunk(
    trunk: PreTrainedModel, config: ZoomConfig, members: Iterable[str], low: LowRank
) -> dict[str, Tensor]:
    """Those of a branch's tensors that have a place in the trunk, with their changes, as copies."""
    layers: Any = trunk.get_submodule("model.language_model.layers")
    found = {}
    for member in members:
        source = trunk_source(member, config.branch_depth)
        if source is None:
            continue
        weight = layers[config.split_layer + source[0]].get_parameter(source[1])
        changed = member in low.pairs
        found[member] = add_pair(weight, *low.pairs[member]) if changed else weight.detach().clone()
    return found


def _pair_names(name: str) -> tuple[str, str]:
    stem = name.removesuffix("weight")
    return f"{stem}lora_down", f"{stem}lora_up"
