"""Shape of the embedded model `qzoom-tiny`: a Qwen3-VL small enough to train on a CPU."""

from __future__ import annotations

from transformers import Qwen3VLConfig

SPLIT_LAYER = 3
"""B of the paper: trunk layers below the branches."""
BRANCH_DEPTH = 3
"""R of the paper."""


def tiny_config(vocab_size: int, special: dict[str, int]) -> Qwen3VLConfig:
    """Configuration of the trunk.

    Args:
        vocab_size: size of the embedding table.
        special: ids of `<|image_pad|>`, `<|video_pad|>`, `<|vision_start|>`, `<|vision_end|>`,
            `<|im_end|>`.
    """
    return Qwen3VLConfig(
        text_config={
            "vocab_size": vocab_size,
            "hidden_size": 256,
            "intermediate_size": 640,
            "num_hidden_layers": 6,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 64,
            "max_position_embeddings": 8192,
            "rms_norm_eps": 1e-6,
            "tie_word_embeddings": True,
            "eos_token_id": special["<|im_end|>"],
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [12, 10, 10],
                "mrope_interleaved": True,
            },
        },
        vision_config={
            "depth": 4,
            "hidden_size": 192,
            "intermediate_size": 640,
            "num_heads": 3,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": 256,
            "num_position_embeddings": 256,
            "deepstack_visual_indexes": [2],
            "hidden_act": "gelu_pytorch_tanh",
        },
        image_token_id=special["<|image_pad|>"],
        video_token_id=special["<|video_pad|>"],
        vision_start_token_id=special["<|vision_start|>"],
        vision_end_token_id=special["<|vision_end|>"],
        tie_word_embeddings=True,
    )
