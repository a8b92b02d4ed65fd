"""Training-free: answer first, then crop where that answer's tokens looked.

As the reference evaluates it: grounding heads, no request for boxes, the rule of the labels (eq.
12). Attention is read in a pass of its own over prompt and response, up to the deepest head.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from torch import Tensor

from qzoom.errors import ConfigError
from qzoom.eval.methods.registry import MethodOptions
from qzoom.eval.rivals.looker import Looker, pixels_of_cells
from qzoom.eval.rivals.second_look import CropMethod, Found, LookSettings, look_settings
from qzoom.geometry.boxes import BoxLike
from qzoom.labels.attention import HeadSet, attention_maps
from qzoom.labels.presets import HEAD_PRESETS, HeadPreset, Kind
from qzoom.labels.region import Responded, with_response
from qzoom.labels.region_settings import heads_to_json, preset_from_json
from qzoom.labels.tristate import TriStateRule, tristate_labels
from qzoom.zoom.model import ZoomModel

PRESET_OF: Final[Mapping[tuple[str, int, int], str]] = MappingProxyType(
    {
        ("qwen2_5_vl", 36, 2048): "qwen2.5-vl-3b",
        ("qwen2_5_vl", 28, 3584): "qwen2.5-vl-7b",
        ("qwen3_vl", 36, 2560): "qwen3-vl-4b",
        ("qwen3_vl", 36, 4096): "qwen3-vl-8b",
    }
)
"""Head preset of a backbone, by family, trunk layers and hidden size."""


@dataclass(frozen=True)
class ResponseSettings(LookSettings):
    """heads: "auto" (the backbone's preset, else "middle"), "middle" (all heads of the layers from
    one half to three quarters of the depth), a preset's name, or a file of 'qzoom label heads'.

    kind: which heads of a preset: of text and documents, or of scenes.
    response_tokens: longest response.
    foreground_threshold, background_threshold, sink_threshold: see `TriStateRule`.
    """

    heads: str = "auto"
    kind: Kind = "textual"
    response_tokens: int = 32
    foreground_threshold: float = 0.2
    background_threshold: float = 0.05
    sink_threshold: float = 1e-2

    @property
    def rule(self) -> TriStateRule:
        """From attention to a box."""
        return TriStateRule(
            self.foreground_threshold, self.background_threshold, self.sink_threshold
        )


def build(model: ZoomModel, options: MethodOptions) -> CropMethod:
    """Localise by a direct answer and a pass over it.

    Raises:
        ConfigError: for heads that are unknown or that the trunk does not have.
    """
    settings = look_settings(ResponseSettings(), model, options, "response_attention")
    preset, rule = heads_of(settings.heads, model), settings.rule
    grounding, sinks = preset.grounding(settings.kind), preset.sinks(settings.kind)
    text, depth = model.parts.backbone.language.config, len(model.parts.backbone.layers)
    sets = [grounding, sinks] if sinks.heads_by_layer else [grounding]
    for heads in sets:
        heads.check(depth, text.num_attention_heads)

    def find(looker: Looker, prompt: str, boxes_px_xyxy: Sequence[BoxLike]) -> Found:
        answer = looker.direct(prompt, settings.response_tokens)
        layout, count = looker.layout(prompt), len(answer.token_ids)
        found = with_response(model, layout, looker.features, answer.token_ids)
        if not found.asking:  # an answer of one token has no decoding step to read
            return Found(prefills=1, new_tokens=count)
        box = tristate_labels(*_maps(looker, found, sets), rule).box_cells_xyxy
        box_px = pixels_of_cells(box, looker.grid_hw, looker.images[0].size)
        return Found((box_px,), prefills=2, new_tokens=count)

    named = heads_to_json(grounding, sinks)
    derived: dict[str, Any] = {
        "grounding_heads": named["textual"],
        "sink_heads": named["textual_sinks"],
    }
    return CropMethod("response_attention", model, settings, find, derived)


def heads_of(name: str, model: ZoomModel) -> HeadPreset:
    """The heads that a setting names.

    Raises:
        ConfigError: when it names neither a preset nor a file of heads.
    """
    depth = len(model.parts.backbone.layers)
    text = model.parts.backbone.language.config
    if name == "auto":
        name = PRESET_OF.get((model.family, depth, text.hidden_size), "middle")
    if name == "middle":
        everyone = tuple(range(text.num_attention_heads))
        middle = HeadSet(dict.fromkeys(range(depth // 2, ceil(3 * depth / 4)), everyone))
        return HeadPreset(middle, middle)
    if name in HEAD_PRESETS:
        return HEAD_PRESETS[name]
    try:
        content = json.loads(Path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = ", ".join(["auto", "middle", *HEAD_PRESETS])
        raise ConfigError(
            f"heads={name!r} is none of {known}, nor a file of 'qzoom label heads'"
        ) from None
    return preset_from_json(content, name)


def _maps(
    looker: Looker, found: Responded, sets: Sequence[HeadSet]
) -> tuple[Tensor, Tensor | None]:
    """Attention and sink map of the first picture, each `(rows, cols)`."""
    rows, cols = looker.grid_hw
    parts = looker.model.parts
    (maps,) = attention_maps(parts, [found.layout], [found.features], [found.asking], sets)
    first = [map_c[: rows * cols].view(rows, cols).cpu() for map_c in maps]
    return first[0], first[1] if len(first) > 1 else None
