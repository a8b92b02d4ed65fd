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
    checkpoint: LoadedCheckpoint, split_layer: int = 0, branch_depth: int = 3, **settings: Any
) -> LoadedCheckpoint:
    """The checkpoint with both branches, copied from its trunk where it had none.

    The gate's head starts at zero: it says 0.5 to everything until it is trained.

    Args:
        split_layer: Trunk layers below the branches; 0 takes two thirds of them, as the paper's
            models do.
        settings: fields of the `ZoomConfig` in place of its defaults.

    Raises:
        ConfigError: When there are fewer than `split_layer + branch_depth` layers.
    """
    if checkpoint.add_on is not None:
        return checkpoint
    layers: Any = checkpoint.trunk.get_submodule("model.language_model.layers")
    split = split_layer or max(1, min(len(layers) - branch_depth, 2 * len(layers) // 3))
    if not 0 < split <= len(layers) - branch_depth:
        raise ConfigError(
            f"{checkpoint.name} has {len(layers)} layers; branches of depth {branch_depth} after "
            f"layer {split} do not fit"
        )
    config = ZoomConfig.from_hf_config(
        {
            "enable_twig": True,
            "twig_K": split,
            "twig_T": branch_depth,
            "enable_high_res": True,
            "reuse_src_pos": True,
        },
        checkpoint.family,
    ).with_overrides(**settings)
    language: Any = checkpoint.trunk.get_submodule("model.language_model")
    weight = language.embed_tokens.weight
    add_on = ZoomAddOn(language.config, config).to(weight.device, weight.dtype)
    init_from_trunk(add_on, layers, split)
    return dataclasses.replace(checkpoint, add_on=add_on.train(False), config=config)
