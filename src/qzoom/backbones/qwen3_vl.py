"""Qwen3-VL: query and key norms, interleaved rotary, deepstack features for the first layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from transformers.vision_utils import get_vision_interpolation_indices_and_weights

from qzoom.backbones.base import Backbone


class Qwen3VLBackbone(Backbone):
    """Driver of `Qwen3VLForConditionalGeneration` (and the ZwZ models built on it)."""

    family = "qwen3_vl"

    @property
    def deepstack_levels(self) -> int:
        """One for each intermediate vision block that is tapped."""
        return len(self.visual.deepstack_merger_list)

    def _planned(self, grid_thw: Tensor) -> dict[str, Any]:
        """Places of learned positions as well."""
        visual = self.visual
        taps, weights = get_vision_interpolation_indices_and_weights(
            grid_thw,
            num_grid_per_side=visual.num_grid_per_side,
            mode=visual.interpolation_mode,
            align_corners=visual.interpolation_align_corners,
            spatial_merge_size=self.merge_size,
        )
        learned = {
            "interp_indices": taps.to(self.device),
            "interp_weights": weights.to(self.device),
        }
        return super()._planned(grid_thw) | learned

    def deepstack_of(self, vision_output: Any) -> Sequence[Tensor]:
        """Features of intermediate vision blocks, one tensor for each of the first layers."""
        levels: Sequence[Tensor] = vision_output.deepstack_features
        return levels
