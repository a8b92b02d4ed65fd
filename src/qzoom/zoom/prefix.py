"""What has been computed for a prefix, so that the next question appends only its own rows.

Every part is filled when first needed and cut back to the prefix before each question.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import torch
from torch import Tensor

from qzoom.backbones.base import Rotary
from qzoom.geometry.boxes import Box
from qzoom.zoom.cache import KeyValues, KVStore
from qzoom.zoom.parts import ModelParts
from qzoom.zoom.region import RegionKeys

KEPT_CROPS = 4


@dataclass(frozen=True)
class Stretch:
    """Consecutive rows on their way through the layers.

    hidden_bnh: states of shape `(B, N, H)`; rotary: their tables, each of shape `(B, N, D)`.
    """

    hidden_bnh: Tensor
    rotary: Rotary

    @property
    def length(self) -> int:
        """Rows of each prompt, padding included."""
        return int(self.hidden_bnh.shape[1])

    def first(self, count: int) -> Stretch:
        """The first rows."""
        cos, sin = self.rotary
        return Stretch(self.hidden_bnh[:, :count], (cos[:, :count], sin[:, :count]))

    def then(self, other: Stretch) -> Stretch:
        """These rows followed by others."""
        (cos, sin), (more_cos, more_sin) = self.rotary, other.rotary
        return Stretch(
            torch.cat([self.hidden_bnh, other.hidden_bnh], 1),
            (torch.cat([cos, more_cos], 1), torch.cat([sin, more_sin], 1)),
        )

    def select(self, index: Tensor) -> Stretch:
        """The rows of some prompts, in the order of their places in `index`."""
        cos, sin = self.rotary
        return Stretch(self.hidden_bnh[index], (cos[index], sin[index]))


@dataclass(frozen=True)
class KeptCrop:
    """Rows of a crop's vision block in every trunk layer, kept for when a box comes back.

    box_px_xyxy, grid_thw, grid_hw: as of `Crop`.
    """

    box_px_xyxy: Box
    grid_thw: tuple[int, int, int]
    grid_hw: tuple[int, int]
    rows: KeyValues


@dataclass
class PrefixState:
    """Stores of one prefix, or of one batch of prompts. Not safe for threads: a session locks.

    length: rows of the prefix.
    reused: whether later questions come back to this state; a batch computes on a fresh one.
    tap: what left the lower layers for the prefix rows; None before the first question.
    """

    trunk: KVStore
    gate: KVStore
    region: KVStore
    length: int
    reused: bool
    tap: Stretch | None = None
    region_keys: RegionKeys | None = None
    crops: OrderedDict[tuple[int, Box], KeptCrop] = field(default_factory=OrderedDict)

    @classmethod
    def empty(cls, parts: ModelParts, length: int = 0, *, reused: bool) -> PrefixState:
        """State of a prefix before anything was computed."""
        depth = parts.config.branch_depth if parts.add_on is not None else 0
        trunk = KVStore(len(parts.backbone.layers))
        return cls(trunk, KVStore(depth), KVStore(max(depth - 1, 0)), length, reused)

    @property
    def size_bytes(self) -> int:
        """Memory of everything that is kept."""
        stores = sum(store.size_bytes for store in (self.trunk, self.gate, self.region))
        others = [] if self.tap is None else [self.tap.hidden_bnh, *self.tap.rotary]
        if self.region_keys is not None:
            others.append(self.region_keys.keys_gcd)
        for crop in self.crops.values():
            others += [tensor for pair in crop.rows for tensor in pair]
        return stores + sum(tensor.nbytes for tensor in others)

    def rewind(self) -> None:
        """Forget every row after the prefix."""
        for store in (self.trunk, self.gate, self.region):
            store.truncate(self.length)

    def kept_crop(self, image_index: int, box_cells_xyxy: Box) -> KeptCrop | None:
        """The crop of a box that was looked at before."""
        crop = self.crops.get((image_index, box_cells_xyxy))
        if crop is not None:
            self.crops.move_to_end((image_index, box_cells_xyxy))
        return crop

    def keep_crop(self, image_index: int, box_cells_xyxy: Box, crop: KeptCrop) -> None:
        """Keep a crop's rows, dropping the one unused for longest."""
        self.crops[image_index, box_cells_xyxy] = crop
        while len(self.crops) > KEPT_CROPS:
            self.crops.popitem(last=False)
