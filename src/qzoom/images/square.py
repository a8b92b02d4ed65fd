"""Padding to a square, as the label maps of the reference are laid out."""

from __future__ import annotations

from typing import Final

from PIL import Image

GREY: Final = (127, 127, 127)


def pad_to_square(image: Image.Image, colour: tuple[int, int, int] = GREY) -> Image.Image:
    """The picture in the middle of a square of its longer side; itself where it is one already."""
    width, height = image.size
    if width == height:
        return image
    side = max(width, height)
    square = Image.new("RGB", (side, side), colour)
    square.paste(image, ((side - width) // 2, (side - height) // 2))
    return square
