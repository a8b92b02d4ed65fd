"""Tiny random models and checkpoints, built on the spot from installed transformers classes.

Sizes follow the goldens: hidden 64, 8 layers, 4 query and 2 key heads of 16, vocabulary 160, a
vision tower of 4 blocks and width 48. Zoom branches split off after layer 4 and are 3 layers deep.
Token ids: 1 im_start, 2 im_end, 3 vision_start, 4 vision_end, 5 image, 6 video, 7 newline, 159 eos.
"""

from __future__ import annotations

import copy
import functools
import json
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

Family = Literal["qwen3_vl", "qwen2_5_vl"]
Layout = Literal["old", "new"]

FAMILIES: tuple[Family, ...] = ("qwen3_vl", "qwen2_5_vl")
SPLIT_LAYER = 4
BRANCH_DEPTH = 3
EOS_TOKEN_ID = 159

_TOKEN_IDS = {
    "image_token_id": 5,
    "video_token_id": 6,
    "vision_start_token_id": 3,
    "vision_end_token_id": 4,
}
_TEXT: dict[str, Any] = {
    "attention_dropout": 0.0,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "max_position_embeddings": 4096,
    "num_attention_heads": 4,
    "num_hidden_layers": 8,
    "num_key_value_heads": 2,
    "use_cache": True,
    "vocab_size": 160,
}
_QWEN3_TEXT: dict[str, Any] = _TEXT | {
    "attention_bias": False,
    "head_dim": 16,
    "model_type": "qwen3_vl_text",
    "rms_norm_eps": 1e-6,
    "rope_scaling": {"mrope_interleaved": True, "mrope_section": [4, 2, 2], "rope_type": "default"},
    "rope_theta": 5_000_000.0,
}
_QWEN2_5_TEXT: dict[str, Any] = _TEXT | {
    "max_window_layers": 80,
    "rms_norm_eps": 1e-5,
    "rope_scaling": {"mrope_section": [2, 3, 3], "rope_type": "default", "type": "default"},
    "rope_theta": 1_000_000.0,
    "sliding_window": 4096,
    "use_sliding_window": False,
}
_VISION: dict[str, Any] = {
    "depth": 4,
    "hidden_size": 48,
    "in_channels": 3,
    "intermediate_size": 96,
    "num_heads": 4,
    "out_hidden_size": 64,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}
_QWEN3_VISION: dict[str, Any] = _VISION | {
    "deepstack_visual_indexes": [1, 2],
    "hidden_act": "gelu_pytorch_tanh",
    "model_type": "qwen3_vl",
    "num_position_embeddings": 64,
    "patch_size": 16,
}
_QWEN2_5_VISION: dict[str, Any] = _VISION | {
    "fullatt_block_indexes": [1, 3],
    "hidden_act": "silu",
    "in_chans": 3,
    "model_type": "qwen2_5_vl",
    "patch_size": 14,
    "spatial_patch_size": 14,
    "tokens_per_second": 4,
    "window_size": 112,
}


def tiny_qwen3_vl_config(tied: bool = False, **text_overrides: Any) -> Qwen3VLConfig:
    """A tiny Qwen3-VL configuration; keyword arguments override fields of `text_config`."""
    text = copy.deepcopy(_QWEN3_TEXT) | text_overrides
    vision = copy.deepcopy(_QWEN3_VISION)
    return Qwen3VLConfig(
        text_config=text, vision_config=vision, tie_word_embeddings=tied, **_TOKEN_IDS
    )


def tiny_qwen2_5_vl_config(tied: bool = False, **text_overrides: Any) -> Qwen2_5_VLConfig:
    """A tiny Qwen2.5-VL configuration; keyword arguments override fields of `text_config`."""
    # The class defaults for these two ids lie outside the tiny vocabulary.
    text = copy.deepcopy(_QWEN2_5_TEXT) | {"bos_token_id": None, "eos_token_id": EOS_TOKEN_ID}
    text |= text_overrides
    vision = copy.deepcopy(_QWEN2_5_VISION)
    return Qwen2_5_VLConfig(
        text_config=text, vision_config=vision, tie_word_embeddings=tied, **_TOKEN_IDS
    )


def random_trunk(
    family: Family, seed: int = 0, tied: bool = False, attn_implementation: str = "eager"
) -> PreTrainedModel:
    """A float32 trunk in eval mode whose weights depend on nothing but `family` and `seed`."""
    model: PreTrainedModel
    if family == "qwen3_vl":
        model = Qwen3VLForConditionalGeneration._from_config(
            tiny_qwen3_vl_config(tied), dtype=torch.float32, attn_implementation=attn_implementation
        )
    else:
        model = Qwen2_5_VLForConditionalGeneration._from_config(
            tiny_qwen2_5_vl_config(tied),
            dtype=torch.float32,
            attn_implementation=attn_implementation,
        )
    randomize(model, seed)
    return model.eval()


def randomize(module: torch.nn.Module, seed: int) -> None:
    """Fill every parameter with seeded numbers: norms near one, biases small, weights std 0.15."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_norm = "norm" in name or "ln_q" in name
            if is_norm and name.endswith("weight"):
                parameter.copy_(1 + 0.1 * noise)
            else:
                parameter.copy_((0.05 if name.endswith("bias") else 0.15) * noise)


def reference_tensors(
    family: Family,
    seed: int = 0,
    gate: bool = True,
    region: bool = True,
    layout: Layout | None = None,
    tied: bool = False,
) -> dict[str, torch.Tensor]:
    """All tensors of a checkpoint in float32, keyed as the reference writes them.

    The tensors are shared between calls: clone before changing one in place.
    """
    tensors = _trunk_tensors(family, seed, tied) | {
        f"model.language_model.{name}": value
        for name, value in _branch_tensors(family, seed, gate, region).items()
    }
    if (layout or _default_layout(family)) == "new":
        return tensors
    return {_old_name(name): value for name, value in tensors.items()}


def reference_config(
    family: Family, gate: bool = True, region: bool = True, tied: bool = False, **fields: Any
) -> dict[str, Any]:
    """config.json as the reference writes it, odd duplicates included.

    `fields` override or add top-level entries; a value of None removes the entry.
    """
    zoom = _zoom_fields(gate, region)
    if family == "qwen3_vl":
        stub = copy.deepcopy(_QWEN3_VISION) | {"tie_word_embeddings": True, "temperature": 1.0}
        text = copy.deepcopy(_QWEN3_TEXT) | zoom
        if region:
            text |= {"mm_config": {"model_type": "qwen3_vl", "vision_config": dict(stub)}}
            text |= {"vision_config": dict(stub), "image_token_id": 5, "add_noise_to_roi": False}
        config = {"text_config": text, "dtype": "float32", "transformers_version": "4.57.1"}
        config |= {"vision_config": copy.deepcopy(_QWEN3_VISION)}
        config |= {"architectures": ["Qwen3VLForConditionalGeneration"]}
    else:
        config = copy.deepcopy(_QWEN2_5_TEXT)
        config |= {"torch_dtype": "float32", "transformers_version": "4.51.3"}
        config |= {"vision_config": copy.deepcopy(_QWEN2_5_VISION)}
        config |= {"architectures": ["Qwen2_5_VLForConditionalGeneration"]}
    config |= {"model_type": family, "tie_word_embeddings": tied} | _TOKEN_IDS | zoom | fields
    return {key: value for key, value in config.items() if value is not None}


def image_settings(family: Family) -> dict[str, Any]:
    """preprocessor_config.json of a tiny checkpoint: 16 to 64 cells."""
    patch = 16 if family == "qwen3_vl" else 14
    clip = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
    mean, std = ([0.5] * 3, [0.5] * 3) if family == "qwen3_vl" else clip
    cell = (2 * patch) ** 2
    return {
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": mean,
        "image_processor_type": "Qwen2VLImageProcessor",
        "image_std": std,
        "max_pixels": 64 * cell,
        "merge_size": 2,
        "min_pixels": 16 * cell,
        "patch_size": patch,
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"longest_edge": 64 * cell, "shortest_edge": 16 * cell},
        "temporal_patch_size": 2,
    }


def write_reference_checkpoint(
    folder: Path,
    family: Family,
    seed: int = 0,
    gate: bool = True,
    region: bool = True,
    layout: Layout | None = None,
    tied: bool = False,
    **config_fields: Any,
) -> Path:
    """Write a checkpoint folder as the reference's own `save_pretrained` does, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = reference_tensors(family, seed, gate, region, layout, tied)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    write_json(
        folder / "config.json", reference_config(family, gate, region, tied, **config_fields)
    )
    write_json(folder / "preprocessor_config.json", image_settings(family))
    generation = {"eos_token_id": EOS_TOKEN_ID, "transformers_version": "4.57.1"}
    write_json(folder / "generation_config.json", generation)
    return folder


def shard_checkpoint(folder: Path, shards: int = 3) -> Path:
    """Split model.safetensors of `folder` into shards with an index, as large checkpoints are."""
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    weight_map: dict[str, str] = {}
    for index in range(shards):
        file = f"model-{index + 1:05d}-of-{shards:05d}.safetensors"
        part = {name: tensors[name].clone() for name in names[index::shards]}
        save_file(part, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    total = sum(value.numel() * value.element_size() for value in tensors.values())
    index_json = {"metadata": {"total_size": total}, "weight_map": weight_map}
    write_json(folder / "model.safetensors.index.json", index_json)
    (folder / "model.safetensors").unlink()
    return folder


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write one JSON object, sorted and indented."""
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")


@functools.cache
def _trunk_tensors(family: Family, seed: int, tied: bool) -> dict[str, torch.Tensor]:
    tensors = dict(random_trunk(family, seed, tied=tied).state_dict())
    if tied:
        del tensors["lm_head.weight"]
    return tensors


@functools.cache
def _branch_tensors(family: Family, seed: int, gate: bool, region: bool) -> dict[str, torch.Tensor]:
    # Layers of another random trunk, dead members of the last region layer included.
    like = random_trunk(family, seed + 1000).model.language_model.layers
    branches = [("twig_layers", 0)] * region + [("high_res_layers", BRANCH_DEPTH)] * gate
    tensors: dict[str, torch.Tensor] = {}
    for branch, first in branches:
        for index in range(BRANCH_DEPTH):
            for name, value in like[first + index].state_dict().items():
                tensors[f"{branch}.{index}.{name}"] = value
    if gate:
        generator = torch.Generator().manual_seed(seed + 2000)
        tensors["high_res_head.weight"] = 0.3 * torch.randn(1, 64, generator=generator)
        tensors["high_res_head.bias"] = 0.3 * torch.randn(1, generator=generator)
    return tensors


def _zoom_fields(gate: bool, region: bool) -> dict[str, Any]:
    if not region:
        return {}
    fields: dict[str, Any] = {
        "enable_high_res": gate,
        "enable_twig": True,
        "reuse_src_pos": True,
        "roi_enable2stage": True,
        "roi_loss": "bce",
        "roi_multi_head": True,
        "roi_source": "qk",
        "roi_super_type": "v1",
        "twig_K": SPLIT_LAYER,
        "twig_T": BRANCH_DEPTH,
    }
    return fields | ({"high_res_thresh": 0.05} if gate else {})


def _default_layout(family: Family) -> Layout:
    return "new" if family == "qwen3_vl" else "old"


def _old_name(name: str) -> str:
    return name.replace("model.visual.", "visual.").replace("model.language_model.", "model.")
