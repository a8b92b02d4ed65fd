"""Tensor names of the published checkpoints, and where each tensor goes.

Three trees hold the same tensors: Qwen3-VL's and the newer Qwen2.5-VL's, with the text model under
`model.language_model.`, and the older Qwen2.5-VL's (`visual.`, `model.layers.`). In all of them the
region branch is `twig_layers`, the gate `high_res_layers` and `high_res_head`, beside the trunk's
`layers`. Of the last region layer the method reads only queries and keys; the rest is dead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from qzoom.errors import CheckpointError

Destination = Literal["trunk", "gate", "region", "dead"]
Layout = Literal["old", "new"]

_TEXT_PREFIX = "model.language_model."
_BRANCH_KEY = re.compile(r"(twig_layers|high_res_layers)\.(\d+)\.(.+)")
_GATE_HEAD = "high_res_head."
_LIVE_MEMBERS = ("input_layernorm", "q_proj", "k_proj", "q_norm", "k_norm")
_DEAD_MEMBERS = ("v_proj", "o_proj", "mlp", "post_attention_layernorm")
# Unused norm that the first region-only Qwen2.5-VL checkpoints carry.
_DEAD_NORM = "twig_norm.weight"
_LLAVA_PARTS = ("model.mm_projector.", "model.vision_tower.", "twig_head.")


@dataclass(frozen=True)
class Route:
    """Where a tensor goes, and its name there: in the trunk, the gate or the region branch."""

    destination: Destination
    name: str


def route_key(key: str, branch_depth: int) -> Route:
    """Place one tensor of a checkpoint.

    Args:
        key: Name in the file, in any of the known trees.
        branch_depth: Layers per branch; decides which region layer is the last.

    Returns:
        The route. Unknown names go to the trunk (or the branch they claim) unchanged, where they
        turn up as leftovers.

    Raises:
        CheckpointError: If the key belongs to a LLaVA checkpoint.
    """
    if any(part in key for part in _LLAVA_PARTS):
        raise CheckpointError(f"tensor {key} is from a LLaVA checkpoint; only Qwen-VL ones load")
    name = canonical_key(key)
    if not name.startswith(_TEXT_PREFIX):
        return Route("trunk", name)
    member = name.removeprefix(_TEXT_PREFIX)
    if member.startswith(_GATE_HEAD):
        return Route("gate", "head." + member.removeprefix(_GATE_HEAD))
    if member == _DEAD_NORM:
        return Route("dead", member)
    match = _BRANCH_KEY.fullmatch(member)
    if match is None:
        return Route("trunk", name)
    branch, index, rest = match[1], int(match[2]), match[3]
    if branch == "high_res_layers":
        return Route("gate", f"layers.{index}.{rest}")
    if index == branch_depth - 1:
        return _route_last_region_layer(index, rest)
    return Route("region", f"layers.{index}.{rest}")


def published_key(route: Route, branch_depth: int, layout: Layout) -> str:
    """The name under which a live tensor is published; undoes `route_key`."""
    name = route.name
    if route.destination == "region":
        name = _TEXT_PREFIX + _published_region_member(name, branch_depth)
    elif route.destination == "gate":
        name = f"{_TEXT_PREFIX}high_res_{name}"
    return _old_key(name) if layout == "old" else name


def add_on_route(name: str) -> Route:
    """The route of a parameter of `ZoomAddOn`, from its name there."""
    branch, _, member = name.partition(".")
    return Route("gate" if branch == "gate" else "region", member)


def canonical_key(key: str) -> str:
    """A key of any tree, renamed to the newer tree that installed transformers models use."""
    if key.startswith("visual."):
        return "model." + key
    if key.startswith("model.") and not key.startswith((_TEXT_PREFIX, "model.visual.")):
        return _TEXT_PREFIX + key.removeprefix("model.")
    return key


def has_zoom_keys(keys: Iterable[str]) -> bool:
    """Whether any tensor belongs to a zoom branch."""
    return any("twig_layers." in key or "high_res_" in key for key in keys)


def published_layout(family: str) -> Layout:
    """The tree in which a family's published checkpoints are written."""
    return "old" if family == "qwen2_5_vl" else "new"


def _route_last_region_layer(index: int, rest: str) -> Route:
    member = rest.removeprefix("self_attn.")
    part = member.split(".")[0]
    if part in _LIVE_MEMBERS:
        return Route("region", f"final.{member}")
    if part in _DEAD_MEMBERS:
        return Route("dead", rest)
    return Route("region", f"layers.{index}.{rest}")


def _published_region_member(name: str, branch_depth: int) -> str:
    if not name.startswith("final."):
        return "twig_" + name
    member = name.removeprefix("final.")
    parent = "" if member.startswith("input_layernorm.") else "self_attn."
    return f"twig_layers.{branch_depth - 1}.{parent}{member}"


def _old_key(name: str) -> str:
    if name.startswith(_TEXT_PREFIX):
        return "model." + name.removeprefix(_TEXT_PREFIX)
    return name.removeprefix("model.") if name.startswith("model.visual.") else name
