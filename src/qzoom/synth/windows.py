"""Small windows dense with print, labelled patch by patch: where reading starts.

Questions on whole images teach reading very slowly from scratch. A window full of words, numbers,
colours and shapes gives a label for every patch and cell, so each step carries hundreds of clear
signals.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from PIL import Image, ImageDraw, ImageFilter
from PIL.ImageFont import FreeTypeFont

from qzoom.synth.drawing import (
    Colour,
    PixelBox,
    PrintedText,
    draw_shape,
    ink_for,
    jitter,
    overlaps,
    print_text,
    text_size,
)
from qzoom.synth.fonts import faces, load_face
from qzoom.synth.lexicon import COLOURS, SHAPES, WORDS
from qzoom.synth.window_labels import CELL_PX, ShapeMark, WindowLabels, label_window

Paper = tuple[Colour, int]
"""A colour and its tone class: 0 for greys, index of the named colour + 1."""


@dataclass
class Sheet:
    """A window under construction: the picture, and beside it the tone class of every pixel.

    scale: how much larger it is drawn than it will be shown; sizes are given as shown.
    """

    rng: Random
    width_px: int
    height_px: int
    size_px_range: tuple[float, float]
    scale: int = 1
    prints: list[PrintedText] = field(default_factory=list)
    marks: list[ShapeMark] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ground = random_paper(self.rng)
        self.width_px, self.height_px = self.width_px * self.scale, self.height_px * self.scale
        size = (self.width_px, self.height_px)
        self.image = Image.new("RGB", size, self.ground[0])
        self.tones = Image.new("L", size, self.ground[1])
        self.draw, self.tone_draw = ImageDraw.Draw(self.image), ImageDraw.Draw(self.tones)

    def font(self) -> FreeTypeFont:
        """A training face at a random size, small sizes as likely as large ones."""
        lo, hi = (self.scale * size for size in self.size_px_range)
        return load_face(
            self.rng.choice(faces("train")), round(lo * (hi / lo) ** self.rng.random())
        )

    def panel(self, box: PixelBox) -> Paper:
        """Fill a rectangle with a new paper."""
        paper = random_paper(self.rng)
        self.draw.rectangle(box, fill=paper[0])
        self.tone_draw.rectangle(box, fill=paper[1])
        return paper

    def print_run(
        self, font: FreeTypeFont, text: str, left_top_px: tuple[float, float], panel_chance: float
    ) -> PrintedText:
        """Print a run, perhaps on a panel of its own."""
        paper = self.ground
        if self.rng.random() < panel_chance:
            pad = self.rng.uniform(0.18, 0.6) * font.size
            (x, y), (w, h) = left_top_px, text_size(font, text)
            paper = self.panel((x - pad, y - pad, x + w + pad, y + h + pad))
        printed = print_text(self.draw, font, text, left_top_px, ink_for(self.rng, paper[0]))
        self.prints.append(printed)
        return printed

    def mark(self, centre_px: tuple[float, float], radius_px: float) -> None:
        """Draw a shape in a named colour."""
        shape, colour = self.rng.choice(SHAPES), self.rng.choice(sorted(COLOURS))
        fill = jitter(self.rng, COLOURS[colour], 14)
        draw_shape(self.draw, shape, centre_px, radius_px, fill)
        tone = 1 + sorted(COLOURS).index(colour)
        draw_shape(self.tone_draw, shape, centre_px, radius_px, tone)
        self.marks.append((shape, centre_px))


def make_window(
    rng: Random, rows: int, cols: int, size_px_range: tuple[float, float] = (11.0, 26.0)
) -> tuple[Image.Image, WindowLabels]:
    """One window of `rows` x `cols` cells full of print, and its labels."""
    scale = rng.choice((1, 1, 2, 3))
    sheet = Sheet(rng, cols * CELL_PX, rows * CELL_PX, size_px_range, scale)
    if rng.random() < 0.5:
        _scatter(sheet)
    else:
        _set_lines(sheet)
    shown = (cols * CELL_PX, rows * CELL_PX)
    # Coarse views are shrunk pictures: print that was shrunk looks different from print at size.
    image = sheet.image if scale == 1 else sheet.image.resize(shown, Image.Resampling.BICUBIC)
    if rng.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.7)))
    prints = [item.shrunk(scale) for item in sheet.prints]
    marks = [(shape, (x / scale, y / scale)) for shape, (x, y) in sheet.marks]
    tones = sheet.tones.resize(shown, Image.Resampling.NEAREST)
    return image, label_window(prints, marks, tones)


def random_number(rng: Random) -> str:
    """A number of 1 to 3 digits, less often 1, without a leading zero."""
    digits = rng.choices((1, 2, 3), (2, 3, 4))[0]
    return str(rng.randint(10 ** (digits - 1), 10**digits - 1))


def random_paper(rng: Random) -> Paper:
    """A named colour, or a grey."""
    if rng.random() < 0.6:
        index = rng.randrange(len(COLOURS))
        return jitter(rng, COLOURS[sorted(COLOURS)[index]], 20), index + 1
    shade = rng.randint(170, 255) if rng.random() < 0.8 else rng.randint(20, 90)
    return jitter(rng, (shade, shade, shade), 12), 0


def _random_text(rng: Random) -> str:
    return random_number(rng) if rng.random() < 0.5 else rng.choice(WORDS).upper()


def _scatter(sheet: Sheet) -> None:
    """Runs of mixed faces and sizes and some shapes, none touching another."""
    rng = sheet.rng
    taken: list[PixelBox] = []
    for _ in range(rng.randint(10, 40)):
        if rng.random() < 0.25:
            radius = rng.uniform(6, 18) * sheet.scale
            w = h = 2 * radius
        else:
            radius, font, text = 0.0, sheet.font(), _random_text(rng)
            w, h = text_size(font, text)
        x = rng.uniform(-0.2 * w, sheet.width_px - 0.7 * w)
        y = rng.uniform(-0.2 * h, sheet.height_px - 0.8 * h)
        box = (x, y, x + w, y + h)
        if any(overlaps(box, other, 0.4 * h) for other in taken):
            continue
        taken.append(box)
        if radius:
            sheet.mark((x + radius, y + radius), radius)
        else:
            sheet.print_run(font, text, (x, y), 0.6)


def _set_lines(sheet: Sheet) -> None:
    """Lines of one face and size filling the window, as in a document."""
    rng, font = sheet.rng, sheet.font()
    size = font.size
    pitch, gap = size * rng.uniform(1.15, 2.0), size * rng.uniform(0.45, 1.5)
    panel_chance = rng.choice((0.0, 0.0, 0.3))
    y = rng.uniform(-0.5, 0.5) * size
    while y < sheet.height_px - 0.5 * size:
        x = rng.uniform(-2.0, 1.0) * size
        while x < sheet.width_px - 0.5 * size:
            printed = sheet.print_run(font, _random_text(rng), (x, y), panel_chance)
            x = printed.box_px_xyxy[2] + gap
        y += pitch
