"""One prompt and one group of prompts on their way from pixels to tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from qzoom.backbones.base import VisionFeatures
from qzoom.geometry.boxes import Box
from qzoom.zoom.cache import KVStore
from qzoom.zoom.crops import Crop
from qzoom.zoom.options import Options
from qzoom.zoom.parts import ModelParts
from qzoom.zoom.prefix import KeptCrop, PrefixState
from qzoom.zoom.prompt import PromptLayout
from qzoom.zoom.region import RegionChoice

Spans = list[tuple[range, ...]]
"""Per prompt of a lane, the slots of its store that hold the prompt's rows, in order."""


@dataclass
class Ticket:
    """One prompt on its way: what goes in and what was decided.

    images: decoded source pictures, for crops; features: the same, encoded, or nothing where the
        prefix has been computed before.
    region: which picture to look closer at, and where in its cells.
    final: the prompt as answered, with the crop's block if it zoomed.
    """

    layout: PromptLayout
    images: Sequence[Image.Image]
    features: Sequence[VisionFeatures]
    gate_probability: float | None = None
    choice: RegionChoice | None = None
    region: tuple[int, Box] | None = None
    crop: Crop | KeptCrop | None = None
    final: PromptLayout | None = None

    @property
    def answered(self) -> PromptLayout:
        """The prompt that the answer continues."""
        return self.final or self.layout

    @property
    def box_cells_xyxy(self) -> Box | None:
        """Where to look closer, if anywhere."""
        return None if self.region is None else self.region[1]


@dataclass(frozen=True)
class Work:
    """Prompts that are routed together: a batch, or the one question of a session."""

    parts: ModelParts
    options: Options
    tickets: list[Ticket]
    state: PrefixState


@dataclass
class Lane:
    """Prompts that took the same way and decode together.

    members: their places among the tickets.
    logits_bv: of the next token, float32.
    """

    members: list[int]
    trunk: KVStore
    spans: Spans
    logits_bv: Tensor
