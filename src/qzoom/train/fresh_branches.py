"""Branches for a plain backbone: copies of trunk layers B+1..B+R."""

from __future__ import annotations

import dataclasses
from typing import Any

from qzoom.checkpoints.loaded import LoadedCheckpoint
from qzoom.errors import ConfigError
from qzoom.train.branches import init_from_trunk
from qzoom.zoom.branches import ZoomAddOn
from qzoom.zoom.config import ZoomConfig


def with_branches(
    checkpoint: LoadedCheckpoint,
    split_layer: int = 0,
    branch_depth: int = 3,
    *,
    needs_gate: bool = False,
    **settings: Any,
) -> LoadedCheckpoint:
    """The checkpoint with both branches, copied from its trunk where it had none.

    The gate's head starts at zero: it says 0.5 to everything until it is trained.

    Args:
        split_layer: Trunk layers below the branches; 0 takes two thirds of them, as the paper's
            models do.
        needs_gate: Also give a gate to a checkpoint that has a region branch alone.
        settings: fields of the `ZoomConfig` in place of its defaults, for new branches.

    Raises:
        ConfigError: When there are fewer than `split_layer + branch_depth` layers.
    """
    if checkpoint.add_on is None:
        config = _fresh_config(checkpoint, split_layer, branch_depth).with_overrides(**settings)
        return dataclasses.replace(checkpoint, add_on=_copied(checkpoint, config), config=config)
    if checkpoint.add_on.gate is not None or not needs_gate:
        return checkpoint
    config = checkpoint.config.with_overrides(gate_enabled=True)
    add_on = _copied(checkpoint, config)
    add_on.region = checkpoint.add_on.region
    return dataclasses.replace(checkpoint, add_on=add_on, config=config)


def _fresh_config(checkpoint: LoadedCheckpoint, split_layer: int, branch_depth: int) -> ZoomConfig:
    count = len(_layers(checkpoint))
    split = split_layer or max(1, min(count - branch_depth, 2 * count // 3))
    if not 0 < split <= count - branch_depth:
        raise ConfigError(
            f"{checkpoint.name} has {count} layers; branches of depth {branch_depth} after "
            f"layer {split} do not fit"
        )
    return ZoomConfig.from_hf_config(
        {
            "enable_twig": True,
            "twig_K": split,
            "twig_T": branch_depth,
            "enable_high_res": True,
            "reuse_src_pos": True,
        },
        checkpoint.family,
    )


def _copied(checkpoint: LoadedCheckpoint, config: ZoomConfig) -> ZoomAddOn:
    """Branches that are copies of the trunk's layers, in its type and on its device."""
    language: Any = checkpoint.trunk.get_submodule("model.language_model")
    weight = language.embed_tokens.weight
    add_on = ZoomAddOn(language.config, config).to(weight.device, weight.dtype)
    init_from_trunk(add_on, _layers(checkpoint), config.split_layer)
    return add_on.train(False)


def _layers(checkpoint: LoadedCheckpoint) -> Any:
    return checkpoint.trunk.get_submodule("model.language_model.layers")
