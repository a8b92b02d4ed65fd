"""Tiny random models that talk: with the embedded model's tokenizer, built in memory.

Sizes are those of `tests.tiny`; the vocabulary has room beyond the tokenizer, as released models'
have. A picture gets 16 to 64 cells.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image
from tests.tiny import (
    BRANCH_DEPTH,
    SPLIT_LAYER,
    Family,
    image_settings,
    randomize,
    tiny_qwen2_5_vl_config,
    tiny_qwen3_vl_config,
)
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLForConditionalGeneration,
)

from qzoom.checkpoints.loaded import LoadedCheckpoint
from qzoom.synth.vocabulary import build_tokenizer
from qzoom.zoom.branches import ZoomAddOn
from qzoom.zoom.config import ZoomConfig
from qzoom.zoom.model import ZoomModel

VOCABULARY = 1024
IM_END, IMAGE_PAD = 2, 5
LAYERS = 8
# Low enough that every map of these random models holds a region.
ANY_REGION = {"gate_threshold": 0.0, "roi_threshold": 0.0}
NO_REGION = {"gate_threshold": 0.0, "roi_threshold": 2.0}


@functools.cache
def chat_tokenizer() -> PreTrainedTokenizerFast:
    """The embedded model's tokenizer; <|im_end|> ends a turn."""
    return build_tokenizer()


def chat_checkpoint(
    family: Family,
    *,
    gate: bool = True,
    region: bool = True,
    attn: str = "sdpa",
    eos: int | None = IM_END,
    **config_fields: Any,
) -> LoadedCheckpoint:
    """The parts of a tiny checkpoint; `config_fields` override its `ZoomConfig`."""
    kind: dict[str, Any] = {"dtype": torch.float32, "attn_implementation": attn}
    trunk: Any
    if family == "qwen3_vl":
        config: Any = tiny_qwen3_vl_config(vocab_size=VOCABULARY)
        trunk = Qwen3VLForConditionalGeneration._from_config(config, **kind)
    else:
        config = tiny_qwen2_5_vl_config(vocab_size=VOCABULARY)
        trunk = Qwen2_5_VLForConditionalGeneration._from_config(config, **kind)
    randomize(trunk, seed=3)
    fields: dict[str, Any] = {"enabled": False}
    if region:
        fields = {
            "enabled": True,
            "split_layer": SPLIT_LAYER,
            "branch_depth": BRANCH_DEPTH,
            "gate_enabled": gate,
            "align_roi_positions": True,
            "sink_rule": "token0" if family == "qwen3_vl" else "corner",
        }
    zoom = ZoomConfig(**fields | config_fields)
    add_on = None
    if zoom.enabled:
        add_on = ZoomAddOn(trunk.model.language_model.config, zoom).eval()
        randomize(add_on, seed=4)
    trunk.generation_config = GenerationConfig(eos_token_id=eos)
    return LoadedCheckpoint(
        trunk=trunk.eval(),
        add_on=add_on,
        config=zoom,
        image_settings=image_settings(family),
        tokenizer=chat_tokenizer(),
        family=family,
        name=f"tiny {family}",
        generation_config=trunk.generation_config,
    )


@functools.cache
def chat_model(family: Family, **kind: Any) -> ZoomModel:
    """A tiny model with everything random; tests share it, so they must not change it."""
    return ZoomModel(chat_checkpoint(family, **kind))


def picture(width: int = 260, height: int = 200, seed: int = 0) -> Image.Image:
    """Coarse random colours."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 255, (height // 20 + 1, width // 20 + 1, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((width, height), Image.Resampling.BICUBIC)


@dataclass
class Counts:
    """What a model computed: rows that passed each key projection, and calls of the vision tower.

    trunk, gate: a number per layer; region: one per full layer; region_cells: of the final layer's
    keys. The last layers of trunk and gate add one row when they compute their output for it alone.
    """

    trunk: list[int] = field(default_factory=lambda: [0] * LAYERS)
    gate: list[int] = field(default_factory=lambda: [0] * BRANCH_DEPTH)
    region: list[int] = field(default_factory=lambda: [0] * (BRANCH_DEPTH - 1))
    region_cells: int = 0
    images: int = 0


@contextmanager
def counting(model: ZoomModel) -> Iterator[Counts]:
    """Count what is computed inside; leaves the model as it was."""
    counts = Counts()
    hooks = []

    def count_rows(module: Any, into: list[int], place: int) -> None:
        def hook(_: Any, args: Any) -> None:
            into[place] += args[0].shape[-2]

        hooks.append(module.register_forward_pre_hook(hook))

    def count_images(_: Any, __: Any, kwargs: Any) -> None:
        counts.images += len(kwargs["grid_thw"])

    def count_cells(_: Any, args: Any) -> None:
        counts.region_cells += args[0].shape[-2]

    parts = model.parts
    groups: list[tuple[Any, list[int]]] = [(parts.backbone.layers, counts.trunk)]
    if parts.add_on is not None:
        groups.append((parts.add_on.region.layers, counts.region))
        final = parts.add_on.region.final.k_proj
        hooks.append(final.register_forward_pre_hook(count_cells))
        if parts.add_on.gate is not None:
            groups.append((parts.add_on.gate.layers, counts.gate))
    for layers, into in groups:
        for place, layer in enumerate(layers):
            count_rows(layer.self_attn.k_proj, into, place)
    visual = parts.backbone.visual
    hooks.append(visual.register_forward_pre_hook(count_images, with_kwargs=True))
    try:
        yield counts
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def recording_logits(model: ZoomModel) -> Iterator[list[torch.Tensor]]:
    """Collect the logits of every step inside, each of shape `(B, vocabulary)`."""
    steps: list[torch.Tensor] = []
    head = model.parts.backbone.trunk.lm_head
    hook = head.register_forward_hook(lambda _, __, out: steps.append(out.detach().clone()))
    try:
        yield steps
    finally:
        hook.remove()
