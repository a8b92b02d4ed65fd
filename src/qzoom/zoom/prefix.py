"""What has been computed for a prefix, so that the next question appends only its own rows.

Every part is filled when first needed and cut back to the prefix before each question.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from torch import Tensor

from qzoom.backbones.base import Rotary
from qzoom.geometry.boxes import Box
from qzoom.zoom.cache import KeyValues, KVStore
from qzoom.zoom.parts import ModelParts
from qzoom.zoom.region import RegionKeys

KEPT_CROPS = 4


@dataclass(frozen=True)
class KeptCrop:
    """Rows of a crop's vision block in every trunk layer, kept for when a box comes back."""

    roi_hw: tuple[int, int]
    grid_thw: tuple[int, int, int]
    box_px_xyxy: Box
    rows: KeyValues


@dataclass
class PrefixState:
    """Stores of one prefix (or of one batch of prompts).

    length: rows of the prefix.
    tap_bnh: states after layer B of the prefix rows, and their `rotary`; None before the first
        question.
    """

    trunk: KVStore
    gate: KVStore
    region: KVStore
    length: int
    tap_bnh: Tensor | None = None
    rotary: Rotary | None = None
    region_keys: RegionKeys | None = None
    crops: OrderedDict[tuple[int, Box], KeptCrop] = field(default_factory=OrderedDict)

    @classmethod
    def empty(cls, parts: ModelParts, length: int) -> PrefixState:
        """State of a prefix before anything was computed."""
        depth = parts.config.branch_depth if parts.add_on is not None else 0
        trunk = KVStore(len(parts.backbone.layers))
        return cls(trunk, KVStore(depth), KVStore(max(depth - 1, 0)), length)

    def rewind(self) -> None:
        """Forget every row after the prefix."""
        for store in (self.trunk, self.gate, self.region):
            store.truncate(self.length)

    def keep_crop(self, key: tuple[int, Box], crop: KeptCrop) -> None:
        """Keep a crop's rows, dropping the one unused for longest."""
        self.crops[key] = crop
        while len(self.crops) > KEPT_CROPS:
            self.crops.popitem(last=False)
