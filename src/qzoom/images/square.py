"""Padding to a square, as the label maps of the reference are laid out."""

from __future__ import annotations

from typing import Final

from PIL import Image

from qzoom.errors import ImageError

GREY: Final = (127, 127, 127)
MAX_SIDE_PX: Final = 16_384
"""A long strip passes the limit of an image's area and makes a square of many gigabytes."""


def pad_to_square(image: Image.Image, colour: tuple[int, int, int] = GREY) -> Image.Image:
    """The picture in the middle of a square of its longer side; itself where it is one already.

    Raises:
        ImageError: If the longer side is above `MAX_SIDE_PX`.
    """
    width, height = image.size
    if width == height:
        return image
    side = max(width, height)
    if side > MAX_SIDE_PX:
        raise ImageError(
            f"the image is {width}x{height} px, the limit for a square is {MAX_SIDE_PX} px a side; "
            "scale it down"
        )
    square = Image.new("RGB", (side, side), colour)
    square.paste(image, ((side - width) // 2, (side - height) // 2))
    return square
