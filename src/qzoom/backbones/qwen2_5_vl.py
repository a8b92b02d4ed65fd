"""Qwen2.5-VL: biased projections, sectioned rotary, windowed vision attention."""

from __future__ import annotations

from torch import Tensor
from transformers import PreTrainedModel

from qzoom.backbones.base import Backbone
from qzoom.backbones.segments import VisionPlan, plan_windows
from qzoom.errors import ConfigError


class Qwen25VLBackbone(Backbone):
    """Driver of `Qwen2_5_VLForConditionalGeneration` (and the ZwZ models built on it).

    Raises:
        ConfigError: for checkpoints with sliding-window layers, which no released model has.
    """

    family = "qwen2_5_vl"

    def __init__(self, trunk: PreTrainedModel) -> None:
        super().__init__(trunk)
        if self.language.has_sliding_layers:
            raise ConfigError(
                "sliding-window decoder layers are not supported; set use_sliding_window to false"
            )

    def vision_plan(self, grid_thw: Tensor) -> VisionPlan:
        """Pictures, and the windows that most layers attend within."""
        return plan_windows(grid_thw, self.device, self.visual)
