"""A trained trunk and its branches written as a checkpoint."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn
from transformers import PreTrainedTokenizerFast, Qwen3VLForConditionalGeneration

from qzoom.checkpoints.loaded import LoadedCheckpoint
from qzoom.checkpoints.save import save_checkpoint
from qzoom.images.pipeline import ImagePipeline
from qzoom.synth.window_labels import CELL_PX, PATCH_PX
from qzoom.train.pixels import MERGE
from qzoom.train.recipe import ZoomRecipe
from qzoom.train.tiny import BRANCH_DEPTH, SPLIT_LAYER
from qzoom.zoom.branches import ZoomAddOn
from qzoom.zoom.config import ZoomConfig

M = TypeVar("M", bound=nn.Module)


def tiny_zoom_config(zoom: ZoomRecipe) -> ZoomConfig:
    """Zoom settings of the embedded model: aligned crops; no sink rule, as it has no sinks."""
    return ZoomConfig(
        enabled=True,
        split_layer=SPLIT_LAYER,
        branch_depth=BRANCH_DEPTH,
        gate_enabled=True,
        gate_threshold=zoom.gate_threshold,
        roi_threshold=zoom.roi_threshold,
        align_roi_positions=True,
        sink_rule="none",
    )


def checkpoint_of(
    model: Qwen3VLForConditionalGeneration,
    add_on: ZoomAddOn | None,
    tokenizer: PreTrainedTokenizerFast,
    zoom: ZoomRecipe,
    name: str,
) -> LoadedCheckpoint:
    """The parts as reading them from a checkpoint folder would give them."""
    pipeline = ImagePipeline(
        patch_size=PATCH_PX,
        merge_size=MERGE,
        min_pixels=zoom.min_cells * CELL_PX**2,
        max_pixels=zoom.max_cells * CELL_PX**2,
        image_mean=(0.5, 0.5, 0.5),
        image_std=(0.5, 0.5, 0.5),
    )
    return LoadedCheckpoint(
        trunk=model,
        add_on=add_on,
        config=tiny_zoom_config(zoom),
        image_settings=pipeline.to_dict(),
        tokenizer=tokenizer,
        family="qwen3_vl",
        name=name,
        generation_config=model.generation_config,
    )


def export(
    folder: Path,
    model: Qwen3VLForConditionalGeneration,
    add_on: ZoomAddOn,
    tokenizer: PreTrainedTokenizerFast,
    zoom: ZoomRecipe,
) -> Path:
    """Write the model in bfloat16; an earlier export in the folder is replaced.

    Raises:
        CheckpointError: when the folder cannot be written.
    """
    parts = _in_bf16(model), _in_bf16(add_on)
    checkpoint = checkpoint_of(*parts, tokenizer, zoom, folder.name)
    return save_checkpoint(folder, checkpoint, overwrite=True)


def export_trunk(
    folder: Path,
    model: Qwen3VLForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    zoom: ZoomRecipe,
) -> Path:
    """Write the trunk alone, a plain backbone, in bfloat16; an earlier export is replaced.

    Raises:
        CheckpointError: when the folder cannot be written.
    """
    plain = ZoomConfig(enabled=False)
    whole = checkpoint_of(_in_bf16(model), None, tokenizer, zoom, folder.name)
    return save_checkpoint(folder, dataclasses.replace(whole, config=plain), overwrite=True)


def _in_bf16(module: M) -> M:
    """A copy, so that a training that goes on keeps its own weights; rotary tables stay exact."""
    rounded = copy.deepcopy(module)
    for parameter in rounded.parameters():
        parameter.data = parameter.data.to(torch.bfloat16)
    return rounded
