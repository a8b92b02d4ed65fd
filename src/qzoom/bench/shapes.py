"""Shapes of models that are timed with random weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Literal

Family = Literal["qwen3_vl", "qwen2_5_vl"]

PATCH_PX: Final[Mapping[Family, int]] = MappingProxyType({"qwen3_vl": 16, "qwen2_5_vl": 14})
MERGE: Final = 2
"""Patches along one side of a cell."""


@dataclass(frozen=True)
class Text:
    """Decoder: widths, layers and heads; tied: whether the head is the embedding."""

    hidden: int
    layers: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool = False


@dataclass(frozen=True)
class Vision:
    """Tower: widths, depth and heads; taps: layers of deepstack, or those that attend to all."""

    hidden: int
    depth: int
    intermediate: int
    heads: int
    taps: tuple[int, ...]


@dataclass(frozen=True)
class Shape:
    """A model, and the picture it looks at with the budget of cells for it.

    split, branch_depth: where the branches tap the trunk, and their layers.
    """

    family: Family
    text: Text
    vision: Vision
    split: int
    branch_depth: int = 3
    image_wh_px: tuple[int, int] = (2560, 1920)
    min_cells: int = 128
    max_cells: int = 576


def with_picture(shape: Shape, cells: int) -> Shape:
    """The shape with a picture that fills a budget of so many cells."""
    cell_px = PATCH_PX[shape.family] * MERGE
    rows = math.ceil(math.sqrt(cells * 3 / 4))
    size_px = math.ceil(rows * 4 / 3) * cell_px, rows * cell_px
    return replace(shape, image_wh_px=size_px)


_TINY = Shape(
    "qwen3_vl",
    Text(128, 8, 384, 4, 2, 32, 1024),
    Vision(96, 4, 384, 3, (1, 2)),
    split=5,
    image_wh_px=(320, 256),
    min_cells=16,
    max_cells=96,
)
_TINY_WINDOWED = Shape(
    "qwen2_5_vl",
    Text(128, 8, 384, 4, 2, 32, 1024),
    Vision(96, 4, 256, 3, (1, 3)),
    split=5,
    image_wh_px=(320, 256),
    min_cells=16,
    max_cells=96,
)
_MID = Shape(
    "qwen3_vl",
    Text(1024, 24, 3072, 16, 8, 64, 32_000),
    Vision(512, 12, 2048, 16, (3, 6, 9)),
    split=16,
    image_wh_px=(1024, 768),
    max_cells=1024,
)
_QWEN3_2B = Shape(
    "qwen3_vl",
    Text(2048, 28, 6144, 16, 8, 128, 151_936, tied=True),
    Vision(1024, 24, 4096, 16, (5, 11, 17)),
    split=18,
)
_QWEN3_4B = Shape(
    "qwen3_vl",
    Text(2560, 36, 9728, 32, 8, 128, 151_936, tied=True),
    Vision(1024, 24, 4096, 16, (5, 11, 17)),
    split=24,
)
_QWEN25_3B = Shape(
    "qwen2_5_vl",
    Text(2048, 36, 11_008, 16, 2, 128, 151_936, tied=True),
    Vision(1280, 32, 3420, 16, (7, 15, 23, 31)),
    split=24,
)
_QWEN25_7B = Shape(
    "qwen2_5_vl",
    Text(3584, 28, 18_944, 28, 4, 128, 152_064),
    Vision(1280, 32, 3420, 16, (7, 15, 23, 31)),
    split=18,
)

SHAPES: Final[Mapping[str, Shape]] = MappingProxyType(
    {
        "tiny": _TINY,
        "tiny-windowed": _TINY_WINDOWED,
        "mid": _MID,
        "qwen3-vl-2b": _QWEN3_2B,
        "qwen3-vl-4b": _QWEN3_4B,
        "qwen2.5-vl-3b": _QWEN25_3B,
        "qwen2.5-vl-7b": _QWEN25_7B,
    }
)
"""By name; "mid" has half a billion parameters, the tiny ones are smoke tests."""
