"""A map of probabilities as colours over a picture."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Even steps from dark to bright: night blue, violet, rose, orange, pale yellow.
_STOPS: Final = np.array(
    [(13, 16, 46), (78, 32, 122), (190, 52, 112), (246, 136, 62), (255, 240, 178)], dtype=np.float64
)
_ALPHA_LOW, _ALPHA_HIGH = 0.45, 0.80


def colours(values: NDArray[Any]) -> NDArray[np.float64]:
    """RGB in 0..255 of values in 0..1; a last axis of 3 is added."""
    stops = np.linspace(0, 1, len(_STOPS))
    bands = [np.interp(values, stops, _STOPS[:, band]) for band in range(3)]
    return np.stack(bands, axis=-1)


def overlay(picture: Image.Image, map_hw: NDArray[Any]) -> Image.Image:
    """Blend a map over a greyed picture that it covers from edge to edge.

    Colours run from 0 to the map's peak, because most maps stay far below 1.
    """
    share = np.nan_to_num(map_hw.astype(np.float32)) / peak(map_hw)
    smooth = Image.fromarray(share).resize(picture.size, Image.Resampling.BICUBIC)
    level = np.clip(np.asarray(smooth), 0, 1)
    alpha = (_ALPHA_LOW + (_ALPHA_HIGH - _ALPHA_LOW) * level)[..., None]
    grey = np.asarray(picture.convert("L"), dtype=np.float64)[..., None]
    mixed = grey * (1 - alpha) + colours(level) * alpha
    return Image.fromarray(np.rint(mixed).astype(np.uint8))


def colour_bar(size_px: tuple[int, int]) -> Image.Image:
    """The scale, from its dark to its bright end."""
    width, height = size_px
    row = np.rint(colours(np.linspace(0, 1, width))).astype(np.uint8)
    return Image.fromarray(np.repeat(row[None], height, axis=0))


def peak(map_hw: NDArray[Any]) -> float:
    """Largest value of a map, kept above 0 so that it can divide."""
    return max(float(np.nan_to_num(map_hw).max()), 1e-6)
