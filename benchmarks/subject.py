"""The model that is timed: random weights of the Qwen3-VL architecture, and its plain twin."""

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
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from qzoom import ZoomConfig, ZoomModel
from qzoom.checkpoints.loaded import LoadedCheckpoint
from qzoom.images.pipeline import ImagePipeline
from qzoom.zoom.branches import ZoomAddOn

SPECIAL = (
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
BRANCH_DEPTH = 3
PATCH, MERGE = 16, 2


@dataclass(frozen=True)
class Size:
    """Shape of the model, and the picture it looks at with the budget of cells for it."""

    hidden: int
    layers: int
    split: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    vision_hidden: int
    vision_depth: int
    deepstack: tuple[int, ...]
    image_wh_px: tuple[int, int]
    min_cells: int
    max_cells: int


SIZES = {
    "tiny": Size(128, 8, 5, 384, 4, 2, 32, 1024, 96, 4, (1, 2), (320, 256), 16, 96),
    "mid": Size(1024, 24, 16, 3072, 16, 8, 64, 32_000, 512, 12, (3, 6, 9), (1024, 768), 128, 1024),
}


@dataclass(frozen=True)
class Subject:
    """What is timed. The twin is the untouched transformers model over the very same weights."""

    model: ZoomModel
    plain: PreTrainedModel
    image: Image.Image
    parameters: int


def build(
    size: Size, *, dtype: torch.dtype, device: str, attn: str, seed: int, split: int | None = None
) -> Subject:
    """Build model, twin and picture from a seed."""
    torch.manual_seed(seed)
    tokenizer = byte_tokenizer()
    trunk: Any = Qwen3VLForConditionalGeneration._from_config(
        _config(size, tokenizer), dtype=dtype, attn_implementation=attn
    )
    trunk.eval()
    zoom = ZoomConfig(
        enabled=True,
        split_layer=split or size.split,
        branch_depth=BRANCH_DEPTH,
        gate_enabled=True,
        # Crops take positions as one more image does, so that plain transformers can follow.
        align_roi_positions=False,
        sink_rule="token0",
    )
    add_on = ZoomAddOn(trunk.model.language_model.config, zoom).to(dtype)
    trunk.to(device)
    add_on.to(device)
    # The driver changes the patch embedding of its trunk; the twin shares parameters alone.
    shared = {id(parameter): parameter for parameter in trunk.parameters()}
    plain = copy.deepcopy(trunk, shared)
    # Random weights know no end token; every contender generates as many tokens as it is told.
    plain.generation_config = GenerationConfig()
    checkpoint = LoadedCheckpoint(
        trunk=trunk,
        add_on=add_on,
        config=zoom,
        image_settings=_image_settings(size),
        tokenizer=tokenizer,
        family="qwen3_vl",
        name="random",
        generation_config=GenerationConfig(),
    )
    parameters = sum(part.numel() for module in (trunk, add_on) for part in module.parameters())
    return Subject(ZoomModel(checkpoint), plain, _picture(size.image_wh_px, seed), parameters)


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte, and the special tokens of a Qwen prompt."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(list(SPECIAL))
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>")


def _config(size: Size, tokenizer: PreTrainedTokenizerFast) -> Qwen3VLConfig:
    half = size.head_dim // 2
    side = half // 3
    text = {
        "hidden_size": size.hidden,
        "num_hidden_layers": size.layers,
        "intermediate_size": size.intermediate,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.kv_heads,
        "head_dim": size.head_dim,
        "vocab_size": size.vocabulary,
        "max_position_embeddings": 32_768,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 5_000_000.0,
            "mrope_section": [half - 2 * side, side, side],
            "mrope_interleaved": True,
        },
    }
    vision = {
        "hidden_size": size.vision_hidden,
        "depth": size.vision_depth,
        "intermediate_size": 4 * size.vision_hidden,
        "num_heads": size.vision_hidden // 32,
        "out_hidden_size": size.hidden,
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": 2,
        "num_position_embeddings": 2304,
        "deepstack_visual_indexes": list(size.deepstack),
    }
    names = ("vision_start", "vision_end", "image", "video")
    tokens = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    ids = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(token)
        for name, token in zip(names, tokens, strict=True)
    }
    return Qwen3VLConfig(text_config=text, vision_config=vision, **ids)


def _image_settings(size: Size) -> dict[str, Any]:
    cell_px = (PATCH * MERGE) ** 2
    pipeline = ImagePipeline(
        patch_size=PATCH,
        merge_size=MERGE,
        min_pixels=size.min_cells * cell_px,
        max_pixels=size.max_cells * cell_px,
        image_mean=(0.5, 0.5, 0.5),
        image_std=(0.5, 0.5, 0.5),
    )
    return pipeline.to_dict()


def _picture(size_wh_px: tuple[int, int], seed: int) -> Image.Image:
    """Smooth random colours, so that neighbouring cells look alike as in a photograph."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size_wh_px, Image.Resampling.BICUBIC)
