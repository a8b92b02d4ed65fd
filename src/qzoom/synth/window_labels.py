"""Labels of reading windows: glyphs, words, numbers, colours and shapes, place by place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qzoom.synth.drawing import PrintedText
from qzoom.synth.lexicon import SHAPES, WORDS

GLYPHS: Final = " ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
"""Glyph classes; class 0 is blank."""
NUMBER_SLOTS: Final = 4
"""Digits a number label holds, left aligned; class 0 is blank, digit d is d + 1."""
IGNORE: Final = -100

PATCH_PX: Final = 16
CELL_PX: Final = 32

ShapeMark = tuple[str, tuple[float, float]]
"""A shape and its centre in pixels (x, y)."""


@dataclass(frozen=True)
class WindowLabels:
    """What is where.

    glyphs: of shape `(rows * 2, cols * 4)` in half patches (8 wide, 16 high): glyph class.
    words: of shape `(rows, cols)` in cells: 0 none, word index + 1.
    digits: of shape `(rows, cols, NUMBER_SLOTS)`: digit classes of the number centred here.
    tones: of shape `(rows * 2, cols * 2)` in patches: 0 grey, index of a named colour + 1.
    shapes: of shape `(rows, cols)` in cells: 0 none, index of the shape centred here + 1.
    """

    glyphs: NDArray[np.int64]
    words: NDArray[np.int64]
    digits: NDArray[np.int64]
    tones: NDArray[np.int64]
    shapes: NDArray[np.int64]


def label_window(
    prints: Sequence[PrintedText], marks: Sequence[ShapeMark], tones: Image.Image
) -> WindowLabels:
    """Labels of a window from what was drawn on it.

    Args:
        tones: picture of the window's size whose 8-bit values are tone classes.
    """
    rows, cols = tones.height // CELL_PX, tones.width // CELL_PX
    glyphs = np.zeros((rows * 2, cols * 4), np.int64)
    words = np.zeros((rows, cols), np.int64)
    digits = np.zeros((rows, cols, NUMBER_SLOTS), np.int64)
    shapes = np.zeros((rows, cols), np.int64)
    for item in prints:
        _label_glyphs(item, glyphs)
        _label_run(item, words, digits)
    for shape, (x, y) in marks:
        i, j = int(y // CELL_PX), int(x // CELL_PX)
        if 0 <= i < rows and 0 <= j < cols:
            shapes[i, j] = IGNORE if shapes[i, j] else 1 + SHAPES.index(shape)
    centres = np.asarray(tones)[PATCH_PX // 2 :: PATCH_PX, PATCH_PX // 2 :: PATCH_PX]
    return WindowLabels(glyphs, words, digits, centres.astype(np.int64), shapes)


def _label_glyphs(item: PrintedText, glyphs: NDArray[np.int64]) -> None:
    for glyph, (x, y) in zip(item.text, item.glyph_centres_px, strict=True):
        i, j = int(y // PATCH_PX), int(x // (PATCH_PX // 2))
        if 0 <= i < glyphs.shape[0] and 0 <= j < glyphs.shape[1]:
            glyphs[i, j] = IGNORE if glyphs[i, j] != 0 else GLYPHS.index(glyph)


def _label_run(item: PrintedText, words: NDArray[np.int64], digits: NDArray[np.int64]) -> None:
    rows, cols = words.shape
    x1, y1, x2, y2 = item.box_px_xyxy
    i, j = int((y1 + y2) / 2 // CELL_PX), int((x1 + x2) / 2 // CELL_PX)
    inside = x1 >= 0 and y1 >= 0 and x2 <= cols * CELL_PX and y2 <= rows * CELL_PX
    if not (0 <= i < rows and 0 <= j < cols):
        return
    if words[i, j] != 0 or digits[i, j, 0] != 0 or not inside:
        words[i, j], digits[i, j] = IGNORE, IGNORE
    elif item.text.isdigit():
        digits[i, j, : len(item.text)] = [int(d) + 1 for d in item.text]
    else:
        words[i, j] = 1 + WORDS.index(item.text.lower())
