"""Drawing primitives that return exact boxes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from PIL import ImageDraw
from PIL.ImageFont import FreeTypeFont

Colour = tuple[int, int, int]
PixelBox = tuple[float, float, float, float]
"""(x1, y1, x2, y2) in pixels of the canvas, x2 and y2 exclusive."""


@dataclass(frozen=True)
class PrintedText:
    """One run of text on a canvas, with the ink box of the run and of each glyph."""

    text: str
    box_px_xyxy: PixelBox
    glyph_centres_px: tuple[tuple[float, float], ...]
    size_px: int

    def shrunk(self, factor: float) -> PrintedText:
        """The same run on the canvas made smaller by a factor."""
        x1, y1, x2, y2 = (edge / factor for edge in self.box_px_xyxy)
        centres = tuple((x / factor, y / factor) for x, y in self.glyph_centres_px)
        return PrintedText(self.text, (x1, y1, x2, y2), centres, round(self.size_px / factor))


def luminance(colour: Colour) -> float:
    """Perceived brightness in [0, 255] (Rec. 601 weights)."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def jitter(rng: Random, colour: Colour, amount: int) -> Colour:
    """The colour with each channel moved by at most `amount`."""
    red, green, blue = (min(255, max(0, c + rng.randint(-amount, amount))) for c in colour)
    return red, green, blue


def ink_for(rng: Random, paper: Colour) -> Colour:
    """A grey ink that stands out from the paper."""
    shade = rng.randint(0, 60) if luminance(paper) > 120 else rng.randint(215, 255)
    return shade, shade, shade


def text_size(font: FreeTypeFont, text: str) -> tuple[float, float]:
    """Width and height in pixels of the ink of a run."""
    left, top, right, bottom = font.getbbox(text)
    return right - left, bottom - top


def print_text(
    draw: ImageDraw.ImageDraw,
    font: FreeTypeFont,
    text: str,
    left_top_px: tuple[float, float],
    ink: Colour,
) -> PrintedText:
    """Draw a run so that its ink starts at `left_top_px`."""
    left, top, right, bottom = font.getbbox(text)
    x, y = round(left_top_px[0]), round(left_top_px[1])
    draw.text((x - left, y - top), text, font=font, fill=ink)
    ends = [font.getlength(text[: i + 1]) for i in range(len(text))]
    starts = [0.0, *ends[:-1]]
    middle = y + (bottom - top) / 2
    centres = tuple((x - left + (a + b) / 2, middle) for a, b in zip(starts, ends, strict=True))
    size = int(font.size)
    return PrintedText(text, (x, y, x + right - left, y + bottom - top), centres, size)


def draw_shape(
    draw: ImageDraw.ImageDraw,
    shape: str,
    centre_px: tuple[float, float],
    radius_px: float,
    colour: Colour | int,
) -> PixelBox:
    """Draw one filled shape of the lexicon and return its box."""
    x, y = centre_px
    r = radius_px
    box = (x - r, y - r, x + r, y + r)
    if shape == "circle":
        draw.ellipse(box, fill=colour)
    elif shape == "square":
        draw.rectangle((x - 0.85 * r, y - 0.85 * r, x + 0.85 * r, y + 0.85 * r), fill=colour)
    elif shape == "cross":
        arm = 0.33 * r
        draw.rectangle((x - arm, y - r, x + arm, y + r), fill=colour)
        draw.rectangle((x - r, y - arm, x + r, y + arm), fill=colour)
    else:
        draw.polygon(_corners(shape, x, y, r), fill=colour)
    return box


def _corners(shape: str, x: float, y: float, r: float) -> list[tuple[float, float]]:
    if shape == "triangle":
        return [(x, y - r), (x + r, y + 0.85 * r), (x - r, y + 0.85 * r)]
    if shape == "diamond":
        return [(x, y - r), (x + 0.75 * r, y), (x, y + r), (x - 0.75 * r, y)]
    if shape == "star":
        radii = (r, 0.42 * r) * 5
        turns = [math.pi * (i / 5 - 0.5) for i in range(10)]
        return [
            (x + q * math.cos(t), y + q * math.sin(t)) for q, t in zip(radii, turns, strict=True)
        ]
    raise ValueError(f"unknown shape {shape!r}")


def overlaps(a: PixelBox, b: PixelBox, margin_px: float = 0.0) -> bool:
    """Whether two boxes come closer than a margin."""
    return not (
        a[2] + margin_px <= b[0]
        or b[2] + margin_px <= a[0]
        or a[3] + margin_px <= b[1]
        or b[3] + margin_px <= a[1]
    )
