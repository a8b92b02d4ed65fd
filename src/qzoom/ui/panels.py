"""The panels of the picture: source with boxes, heat map, crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from numpy.typing import NDArray
from PIL import Image, ImageDraw

from qzoom.ui.heat import overlay

Colour = tuple[int, int, int]
PixelBox = tuple[int, int, int, int]

BOX_COLOURS: Final[tuple[Colour, ...]] = ((0, 168, 150), (224, 122, 0), (120, 94, 240))
"""One per box; the crop of a box is framed in its colour."""

_OTHER_BOX: Final[Colour] = (112, 118, 130)

_HALO: Final[Colour] = (255, 255, 255)
_LINE_PX: Final = 3
_LEAST_BOX_PX: Final = 14
_WELL: Final[Colour] = (226, 228, 232)


@dataclass(frozen=True)
class Panel:
    """One part of the picture.

    Args:
        title: Short name.
        detail: What stands at the right of the name, where there is room.
        source: Undistorted pixels.
        boxes: Boxes to draw, in pixels of `source`.
        map_hw: Map to lay over it, covering it from edge to edge.
        frame: Colour of the frame, or None.
    """

    title: str
    detail: str
    source: Image.Image
    boxes: tuple[PixelBox, ...] = ()
    map_hw: NDArray[Any] | None = None
    frame: Colour | None = None

    def draw(self, size_px: tuple[int, int]) -> Image.Image:
        """The panel at a size; a picture of another shape is centred in it."""
        fitted = _fit(self.source, size_px)
        scale = fitted.width / self.source.width, fitted.height / self.source.height
        if self.map_hw is not None:
            fitted = overlay(fitted, self.map_hw)
        _draw_boxes(fitted, self.boxes, scale)
        panel = fitted
        if fitted.size != size_px:
            panel = Image.new("RGB", size_px, _WELL)
            panel.paste(
                fitted, ((size_px[0] - fitted.width) // 2, (size_px[1] - fitted.height) // 2)
            )
        if self.frame is not None:
            edge = (0, 0, size_px[0] - 1, size_px[1] - 1)
            ImageDraw.Draw(panel).rectangle(edge, outline=self.frame, width=_LINE_PX)
        return panel


def _fit(image: Image.Image, size_px: tuple[int, int]) -> Image.Image:
    scale = min(size_px[0] / image.width, size_px[1] / image.height)
    # One pixel of rounding is stretched rather than shown as a seam.
    width, height = (
        room if abs(side * scale - room) < 1.5 else max(1, round(side * scale))
        for side, room in zip(image.size, size_px, strict=True)
    )
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _draw_boxes(image: Image.Image, boxes: Sequence[PixelBox], scale: tuple[float, float]) -> None:
    draw = ImageDraw.Draw(image)
    for index, box in enumerate(boxes):
        x1, x2 = _visible_span(box[0] * scale[0], box[2] * scale[0], image.width)
        y1, y2 = _visible_span(box[1] * scale[1], box[3] * scale[1], image.height)
        # A light rim keeps the line visible on a dark picture and apart from its like.
        draw.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline=_HALO, width=_LINE_PX + 2)
        draw.rectangle((x1, y1, x2, y2), outline=box_colour(index), width=_LINE_PX)


def _visible_span(start: float, end: float, room: int) -> tuple[int, int]:
    """A span in whole pixels inside the picture, never too short to be seen."""
    length = min(room, max(_LEAST_BOX_PX, end - start))
    first = min(room - length, max(0.0, (start + end - length) / 2))
    return round(first), round(first + length) - 1


def box_colour(index: int) -> Colour:
    """Colour of the box with this number; those that get no crop share a grey."""
    return BOX_COLOURS[index] if index < len(BOX_COLOURS) else _OTHER_BOX
