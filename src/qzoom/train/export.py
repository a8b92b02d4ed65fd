"""A trained trunk and its branches written as a checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast, Qwen3VLForConditionalGeneration

from qzoom.checkpoints.loaded import LoadedCheckpoint
from qzoom.checkpoints.save import save_checkpoint
from qzoom.images.pipeline import ImagePipeline
from qzoom.train.recipe import ZoomRecipe
from qzoom.train.tiny import BRANCH_DEPTH, SPLIT_LAYER
from qzoom.train.views import CELL_PX
from qzoom.zoom.branches import ZoomAddOn
from qzoom.zoom.config import ZoomConfig


def tiny_zoom_config(zoom: ZoomRecipe) -> ZoomConfig:
    """Zoom settings of the embedded model: aligned crops, no sink rule (it has no sinks to hide)."""
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


def export(
    folder: Path,
    model: Qwen3VLForConditionalGeneration,
    add_on: ZoomAddOn,
    tokenizer: PreTrainedTokenizerFast,
    zoom: ZoomRecipe,
) -> Path:
    """Write the model in bfloat16; an earlier export in the folder is replaced."""
    pipeline = ImagePipeline(
        patch_size=16,
        merge_size=2,
        min_pixels=zoom.min_cells * CELL_PX**2,
        max_pixels=zoom.max_cells * CELL_PX**2,
        image_mean=(0.5, 0.5, 0.5),
        image_std=(0.5, 0.5, 0.5),
    )
    checkpoint = LoadedCheckpoint(
        trunk=model.to(torch.bfloat16),
        add_on=add_on.to(torch.bfloat16),
        config=tiny_zoom_config(zoom),
        image_settings=pipeline.to_dict(),
        tokenizer=tokenizer,
        family="qwen3_vl",
        name=folder.name,
        generation_config=None,
    )
    return save_checkpoint(folder, checkpoint, overwrite=True)
