"""The pictures of an answer as a page shows them: heat map and box over the source, the crop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qzoom.images.crop import crop_px
from qzoom.images.data_url import data_url
from qzoom.ui.panels import Panel

if TYPE_CHECKING:
    from qzoom.zoom.answer import ZoomAnswer

_SHOWN_SIDE_PX: Final = 600
_CROP_SIDE_PX: Final = 560
_JPEG_QUALITY: Final = 88


def looked_at(source: Image.Image, answer: ZoomAnswer, *, heat: bool) -> Image.Image:
    """The source with the boxes of an answer, and its heat map where there is one.

    Args:
        heat: lay the heat map over it.
    """
    map_hw = _map_of(answer) if heat else None
    panel = Panel("source", "", source, tuple(answer.boxes_xyxy_px), map_hw)
    return panel.draw(_fitting(source.size, _SHOWN_SIDE_PX))


def crop_of(source: Image.Image, answer: ZoomAnswer) -> Image.Image | None:
    """The first crop of an answer, or None where nothing was looked at closer."""
    if not answer.boxes_xyxy_px:
        return None
    crop = crop_px(source, answer.boxes_xyxy_px[0])
    return crop.resize(_fitting(crop.size, _CROP_SIDE_PX), Image.Resampling.LANCZOS)


def data_uri(image: Image.Image) -> str:
    """A picture as an address that holds it, so that no file of it is left on the server."""
    return data_url(image, "jpeg", quality=_JPEG_QUALITY, optimize=True)


def _map_of(answer: ZoomAnswer) -> NDArray[Any] | None:
    if answer.heatmap is None:
        return None
    return np.asarray(answer.heatmap.detach().float().cpu())


def _fitting(size_px: tuple[int, int], side_px: int) -> tuple[int, int]:
    """A size of the same shape whose longer side has a length, small ones being enlarged."""
    scale = side_px / max(size_px)
    width, height = (max(1, round(side * scale)) for side in size_px)
    return width, height
