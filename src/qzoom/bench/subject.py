"""The model that is timed: random weights of a shape, and its plain twin."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLForConditionalGeneration,
)

from qzoom.bench.configs import config_of
from qzoom.bench.shapes import MERGE, PATCH_PX, Shape
from qzoom.checkpoints.loaded import LoadedCheckpoint
from qzoom.images.pipeline import ImagePipeline
from qzoom.zoom.branches import ZoomAddOn
from qzoom.zoom.config import ZoomConfig
from qzoom.zoom.model import ZoomModel

SPECIAL = (
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)


@dataclass(frozen=True)
class Subject:
    """What is timed. The twin is the untouched transformers model over the very same weights."""

    model: ZoomModel
    plain: PreTrainedModel
    image: Image.Image
    parameters: int


def build(
    shape: Shape, *, dtype: torch.dtype, device: str, attn: str, seed: int, split: int | None = None
) -> Subject:
    """Build model, twin and picture from a seed; weights are made on the device."""
    torch.manual_seed(seed)
    tokenizer = byte_tokenizer()
    kinds: dict[str, Any] = {
        "qwen3_vl": Qwen3VLForConditionalGeneration,
        "qwen2_5_vl": Qwen2_5_VLForConditionalGeneration,
    }
    zoom = ZoomConfig(
        enabled=True,
        split_layer=split or shape.split,
        branch_depth=shape.branch_depth,
        gate_enabled=True,
        # Crops take positions as one more image does, so that plain transformers can follow.
        align_roi_positions=False,
        sink_rule="token0" if shape.family == "qwen3_vl" else "corner",
    )
    with torch.device(device):
        trunk: Any = kinds[shape.family]._from_config(
            config_of(shape, tokenizer), dtype=dtype, attn_implementation=attn
        )
        add_on = ZoomAddOn(trunk.model.language_model.config, zoom).to(dtype)
    trunk.eval()
    # The driver changes parts of its trunk; the twin shares parameters alone.
    shared = {id(parameter): parameter for parameter in trunk.parameters()}
    plain = copy.deepcopy(trunk, shared)
    # Random weights know no end token; every contender generates as many tokens as it is told.
    unending = GenerationConfig()  # type: ignore[no-untyped-call]
    plain.generation_config = unending
    checkpoint = LoadedCheckpoint(
        trunk=trunk,
        add_on=add_on,
        config=zoom,
        image_settings=_image_settings(shape),
        tokenizer=tokenizer,
        family=shape.family,
        name="random",
        generation_config=unending,
    )
    parameters = sum(part.numel() for module in (trunk, add_on) for part in module.parameters())
    return Subject(ZoomModel(checkpoint), plain, _picture(shape.image_wh_px, seed), parameters)


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte, and the special tokens of a Qwen prompt."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(list(SPECIAL))
    kind: Any = PreTrainedTokenizerFast
    tokenizer: PreTrainedTokenizerFast = kind(tokenizer_object=backend, eos_token="<|im_end|>")
    return tokenizer


def _image_settings(shape: Shape) -> dict[str, Any]:
    patch = PATCH_PX[shape.family]
    cell_px = (patch * MERGE) ** 2
    pipeline = ImagePipeline(
        patch_size=patch,
        merge_size=MERGE,
        min_pixels=shape.min_cells * cell_px,
        max_pixels=shape.max_cells * cell_px,
        image_mean=(0.5, 0.5, 0.5),
        image_std=(0.5, 0.5, 0.5),
    )
    return pipeline.to_dict()


def _picture(size_wh_px: tuple[int, int], seed: int) -> Image.Image:
    """Smooth random colours, so that neighbouring cells look alike as in a photograph."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size_wh_px, Image.Resampling.BICUBIC)
