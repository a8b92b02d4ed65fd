"""Qwen3-VL: query and key norms, interleaved rotary, deepstack features for the first layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from qzoom.backbones.base import Backbone


class Qwen3VLBackbone(Backbone):
    """Driver of `Qwen3VLForConditionalGeneration` (and the ZwZ models built on it)."""

    family = "qwen3_vl"

    @property
    def deepstack_levels(self) -> int:
        """One for each intermediate vision block that is tapped."""
        return len(self.visual.deepstack_merger_list)

    def deepstack_of(self, vision_output: Any) -> Sequence[Tensor]:
        """Features of intermediate vision blocks, one tensor for each of the first layers."""
        levels: Sequence[Tensor] = vision_output.deepstack_features
        return levels
