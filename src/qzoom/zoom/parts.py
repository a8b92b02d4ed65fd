"""The immutable parts of a loaded model that a pass needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from qzoom.backbones.base import Backbone
from qzoom.images.pipeline import ImagePipeline
from qzoom.zoom.branches import ZoomAddOn
from qzoom.zoom.config import ZoomConfig
from qzoom.zoom.prompt import SpecialIds


@dataclass(frozen=True)
class ModelParts:
    """Backbone, add-on branches and image pipeline; shared by all sessions, changed by none."""

    backbone: Backbone
    add_on: ZoomAddOn | None
    pipeline: ImagePipeline
    config: ZoomConfig
    ids: SpecialIds

    @property
    def split(self) -> int:
        """Trunk layers below the tap (B); a plain backbone is cut where deepstack ends."""
        if self.add_on is not None:
            return self.config.split_layer
        return min(max(self.backbone.deepstack_levels, 1), len(self.backbone.layers) - 1)

    @property
    def lower(self) -> Sequence[nn.Module]:
        """Trunk layers 1..B."""
        return self.backbone.layers[: self.split]

    @property
    def upper(self) -> Sequence[nn.Module]:
        """Trunk layers B+1..L."""
        return self.backbone.layers[self.split :]
