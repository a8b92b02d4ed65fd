"""transformers configurations of the shapes that are timed."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizerFast, Qwen2_5_VLConfig, Qwen3VLConfig

from qzoom.bench.shapes import MERGE, PATCH_PX, Shape

WINDOW_PX = 112


def config_of(shape: Shape, tokenizer: PreTrainedTokenizerFast) -> Any:
    """Configuration of a shape; special tokens are the tokenizer's."""
    names = ("vision_start", "vision_end", "image", "video")
    tokens = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    ids = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(token)
        for name, token in zip(names, tokens, strict=True)
    }
    kind: Any = Qwen3VLConfig if shape.family == "qwen3_vl" else Qwen2_5_VLConfig
    return kind(
        text_config=_text(shape),
        vision_config=_vision(shape),
        tie_word_embeddings=shape.text.tied,
        **ids,
    )


def _text(shape: Shape) -> dict[str, Any]:
    text = shape.text
    half = text.head_dim // 2
    side = 3 * half // 8 if shape.family == "qwen2_5_vl" else half // 3
    rope: dict[str, Any] = {"rope_type": "default", "mrope_section": [half - 2 * side, side, side]}
    if shape.family == "qwen3_vl":
        rope |= {"rope_theta": 5_000_000.0, "mrope_interleaved": True}
    else:
        rope |= {"rope_theta": 1_000_000.0}
    return {
        "hidden_size": text.hidden,
        "num_hidden_layers": text.layers,
        "intermediate_size": text.intermediate,
        "num_attention_heads": text.heads,
        "num_key_value_heads": text.kv_heads,
        "head_dim": text.head_dim,
        "vocab_size": text.vocabulary,
        "max_position_embeddings": 32_768,
        "rope_parameters": rope,
        "tie_word_embeddings": text.tied,
        "bos_token_id": None,
        "eos_token_id": None,
    }


def _vision(shape: Shape) -> dict[str, Any]:
    vision = shape.vision
    common = {
        "hidden_size": vision.hidden,
        "depth": vision.depth,
        "intermediate_size": vision.intermediate,
        "num_heads": vision.heads,
        "out_hidden_size": shape.text.hidden,
        "patch_size": PATCH_PX[shape.family],
        "spatial_merge_size": MERGE,
        "temporal_patch_size": 2,
    }
    if shape.family == "qwen3_vl":
        taps = {"deepstack_visual_indexes": list(vision.taps), "num_position_embeddings": 2304}
        return common | taps
    return common | {"fullatt_block_indexes": list(vision.taps), "window_size": WINDOW_PX}
