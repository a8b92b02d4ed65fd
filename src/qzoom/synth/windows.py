"""Small windows dense with print, labelled patch by patch: where reading starts.

Questions on whole images teach reading very slowly from scratch. A window full of words and
numbers gives a label for every half patch (which glyph has its centre here) and for every cell
(which word or number has its centre here), so each step carries hundreds of clear signals.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from PIL.ImageFont import FreeTypeFont

from qzoom.synth.drawing import Colour, PrintedText, ink_for, jitter, overlaps, print_text, text_size
from qzoom.synth.fonts import faces, load_face
from qzoom.synth.lexicon import COLOURS, WORDS

GLYPHS: Final = " ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
"""Glyph classes; class 0 is blank."""
NUMBER_SLOTS: Final = 4
"""Digits a number label holds, left aligned; class 0 is blank, digit d is d + 1."""
IGNORE: Final = -100

PATCH_PX: Final = 16
CELL_PX: Final = 32


@dataclass(frozen=True)
class WindowLabels:
    """What is printed where.

    glyphs: of shape `(rows * 2, cols * 4)` in half patches (8 wide, 16 high): glyph class.
    words: of shape `(rows, cols)` in cells: 0 none, word index + 1.
    digits: of shape `(rows, cols, NUMBER_SLOTS)`: digit classes of the number centred here.
    """

    glyphs: NDArray[np.int64]
    words: NDArray[np.int64]
    digits: NDArray[np.int64]


def random_number(rng: Random) -> str:
    """A number of 1 to 4 digits, mostly 2 or 3, without a leading zero."""
    digits = rng.choices((1, 2, 3, 4), (1, 4, 4, 2))[0]
    return str(rng.randint(10 ** (digits - 1), 10**digits - 1))


def label_prints(prints: list[PrintedText], rows: int, cols: int) -> WindowLabels:
    """Labels of a window of `rows` x `cols` cells from what was printed on it."""
    glyphs = np.zeros((rows * 2, cols * 4), np.int64)
    words = np.zeros((rows, cols), np.int64)
    digits = np.zeros((rows, cols, NUMBER_SLOTS), np.int64)
    for item in prints:
        for glyph, (x, y) in zip(item.text, item.glyph_centres_px, strict=True):
            i, j = int(y // PATCH_PX), int(x // (PATCH_PX // 2))
            if 0 <= i < rows * 2 and 0 <= j < cols * 4:
                taken = glyphs[i, j] != 0
                glyphs[i, j] = IGNORE if taken else GLYPHS.index(glyph)
        x1, y1, x2, y2 = item.box_px_xyxy
        i, j = int((y1 + y2) / 2 // CELL_PX), int((x1 + x2) / 2 // CELL_PX)
        inside = x1 >= 0 and y1 >= 0 and x2 <= cols * CELL_PX and y2 <= rows * CELL_PX
        if not (0 <= i < rows and 0 <= j < cols):
            continue
        if words[i, j] != 0 or digits[i, j, 0] != 0 or not inside:
            words[i, j], digits[i, j] = IGNORE, IGNORE
        elif item.text.isdigit():
            digits[i, j, : len(item.text)] = [int(d) + 1 for d in item.text]
        else:
            words[i, j] = 1 + WORDS.index(item.text.lower())
    return WindowLabels(glyphs, words, digits)


def _paper(rng: Random) -> Colour:
    if rng.random() < 0.5:
        return jitter(rng, rng.choice(list(COLOURS.values())), 30)
    shade = rng.randint(170, 255) if rng.random() < 0.8 else rng.randint(20, 90)
    return jitter(rng, (shade, shade, shade), 12)


def make_window(
    rng: Random, rows: int, cols: int, size_px_range: tuple[float, float] = (11.0, 26.0)
) -> tuple[Image.Image, WindowLabels]:
    """One window of `rows` x `cols` cells full of print, and its labels."""
    ground = _paper(rng)
    image = Image.new("RGB", (cols * CELL_PX, rows * CELL_PX), ground)
    fill = _scatter if rng.random() < 0.35 else _set_lines
    prints = fill(rng, image, ground, size_px_range)
    if rng.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.7)))
    return image, label_prints(prints, rows, cols)


def _random_text(rng: Random) -> str:
    return random_number(rng) if rng.random() < 0.45 else rng.choice(WORDS).upper()


def _random_size(rng: Random, size_px_range: tuple[float, float]) -> int:
    lo, hi = size_px_range
    return round(lo * (hi / lo) ** rng.random())


def _print_on_panel(
    rng: Random,
    draw: ImageDraw.ImageDraw,
    font: FreeTypeFont,
    text: str,
    left_top_px: tuple[float, float],
    ground: Colour,
    panel_chance: float,
) -> PrintedText:
    paper = ground
    if rng.random() < panel_chance:
        paper, pad = _paper(rng), 0.18 * font.size
        (x, y), (w, h) = left_top_px, text_size(font, text)
        draw.rectangle((x - pad, y - pad, x + w + pad, y + h + pad), fill=paper)
    return print_text(draw, font, text, left_top_px, ink_for(rng, paper))


def _scatter(
    rng: Random, image: Image.Image, ground: Colour, size_px_range: tuple[float, float]
) -> list[PrintedText]:
    """Runs of mixed faces and sizes thrown on the window, none touching another."""
    draw = ImageDraw.Draw(image)
    placed: list[PrintedText] = []
    for _ in range(rng.randint(10, 40)):
        font = load_face(rng.choice(faces("train")), _random_size(rng, size_px_range))
        text = _random_text(rng)
        w, h = text_size(font, text)
        x, y = rng.uniform(-0.2 * w, image.width - 0.7 * w), rng.uniform(-0.2 * h, image.height - 0.8 * h)
        if not any(overlaps((x, y, x + w, y + h), p.box_px_xyxy, 0.4 * font.size) for p in placed):
            placed.append(_print_on_panel(rng, draw, font, text, (x, y), ground, 0.6))
    return placed


def _set_lines(
    rng: Random, image: Image.Image, ground: Colour, size_px_range: tuple[float, float]
) -> list[PrintedText]:
    """Lines of one face and size filling the window, as in a document."""
    draw = ImageDraw.Draw(image)
    font = load_face(rng.choice(faces("train")), _random_size(rng, size_px_range))
    size = font.size
    pitch, gap = size * rng.uniform(1.15, 2.0), size * rng.uniform(0.45, 1.5)
    panel_chance = rng.choice((0.0, 0.0, 0.3))
    placed: list[PrintedText] = []
    y = rng.uniform(-0.5, 0.5) * size
    while y < image.height - 0.5 * size:
        x = rng.uniform(-2.0, 1.0) * size
        while x < image.width - 0.5 * size:
            text = _random_text(rng)
            placed.append(_print_on_panel(rng, draw, font, text, (x, y), ground, panel_chance))
            x = placed[-1].box_px_xyxy[2] + gap
        y += pitch
    return placed
