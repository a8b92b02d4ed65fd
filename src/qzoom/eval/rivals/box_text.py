"""Boxes that a model writes as text, in the coordinates that it was told."""

from __future__ import annotations

import re
from typing import Final, Literal

from qzoom.geometry.boxes import BoxLike

Coordinates = Literal["thousandths", "resized_px", "cells"]
"""Of the picture as the model sees it: thousandths of each side (Qwen3-VL), pixels after the resize
(Qwen2.5-VL), or cells."""

MAX_REPLY_CHARACTERS: Final = 2000
# Whole numbers or decimals that are no part of a word, a version or a larger number.
_NUMBER: Final = r"(?<![\w.])[-+]?[0-9]{1,6}(?:\.[0-9]{1,6})?(?![\w%]|\.\w)"
_BETWEEN: Final = r"[\s()\[\]]{0,8},[\s()\[\]]{0,8}"
_LIST: Final = re.compile(rf"{_NUMBER}(?:{_BETWEEN}{_NUMBER})+")
_NAMED: Final = [
    re.compile(rf"""["']?\b{name}["']?\s{{0,4}}[:=]\s{{0,4}}({_NUMBER})""")
    for name in ("x1", "y1", "x2", "y2")
]


def extent_of(coordinates: Coordinates, grid_hw: tuple[int, int], cell_px: int) -> tuple[int, int]:
    """Greatest x and y that a box may have."""
    rows, cols = grid_hw
    if coordinates == "thousandths":
        return 1000, 1000
    side = cell_px if coordinates == "resized_px" else 1
    return cols * side, rows * side


def parse_box(reply: str, extent_xy: tuple[int, int], size_px: tuple[int, int]) -> BoxLike | None:
    """The first box in a reply, in pixels of the picture; None where there is none.

    A box is four numbers between commas, brackets of any kind aside ("x1, y1, x2, y2", JSON), or
    four numbers named x1, y1, x2 and y2. What reaches beyond the picture is cut off. A longer list
    of numbers is no box, nor is one without an inside.

    Args:
        extent_xy: what the right and lower edge of the picture are called.
        size_px: width and height of the picture.
    """
    numbers = _four_numbers(reply[:MAX_REPLY_CHARACTERS])
    if numbers is None:
        return None
    (wide, high), (width, height) = extent_xy, size_px
    x1, x2 = (min(max(x, 0.0), wide) * width / wide for x in numbers[::2])
    y1, y2 = (min(max(y, 0.0), high) * height / high for y in numbers[1::2])
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def _four_numbers(text: str) -> list[float] | None:
    named = [pattern.search(text) for pattern in _NAMED]
    found = [match.group(1) for match in named if match]
    if len(found) == 4:
        return [float(number) for number in found]
    for match in _LIST.finditer(text):
        numbers = re.findall(_NUMBER, match.group())
        if len(numbers) == 4:
            return [float(number) for number in numbers]
    return None
