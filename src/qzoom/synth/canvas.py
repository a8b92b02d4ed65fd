"""A canvas measured in coarse units, and the questions a scene gathers on it.

One unit is one pixel of the coarse view (an area of 256 x 256), so a text of 14 units can be read
there and one of 5 units cannot, whatever the size of the canvas in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Final

from PIL import Image, ImageDraw
from PIL.ImageFont import FreeTypeFont

from qzoom.synth.drawing import (
    Colour,
    PixelBox,
    PrintedText,
    jitter,
    overlaps,
    print_text,
    text_size,
)
from qzoom.synth.fonts import FontSplit, faces, load_face

COARSE_SIDE_PX: Final = 256
SMALLEST_PRINT_PX: Final = 12


@dataclass(frozen=True)
class Question:
    """A question with its exact answer.

    box_px_xyxy: ink box of what answers it, in canvas pixels; None when the whole picture does.
    size_units: em size of the answer's print in coarse units; None when nothing has to be read.
    """

    text: str
    answer: str
    kind: str
    box_px_xyxy: PixelBox | None = None
    size_units: float | None = None


@dataclass(frozen=True)
class SizeMix:
    """Shares of print that is small, medium and large in the coarse view, and their em ranges."""

    small: float = 0.5
    medium: float = 0.15
    large: float = 0.35
    ranges_units: tuple[tuple[float, float], ...] = ((4.0, 6.5), (6.5, 11.0), (11.5, 15.0))

    def pick(self, rng: Random) -> float:
        """An em size in coarse units."""
        chosen = rng.choices(self.ranges_units, (self.small, self.medium, self.large))[0]
        return rng.uniform(*chosen)


@dataclass
class Canvas:
    """Picture under construction. `unit_px` pixels make one coarse unit."""

    image: Image.Image
    unit_px: float
    rng: Random
    sizes: SizeMix
    split: FontSplit = "train"
    draw: ImageDraw.ImageDraw = field(init=False)
    questions: list[Question] = field(default_factory=list)
    taken: list[PixelBox] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.draw = ImageDraw.Draw(self.image)

    def font(self, size_units: float, face: tuple[str, str, str] | None = None) -> FreeTypeFont:
        """A face of the split at a size in coarse units, never below the smallest print."""
        chosen = face or self.rng.choice(faces(self.split))
        return load_face(chosen, max(SMALLEST_PRINT_PX, round(size_units * self.unit_px)))

    def place(
        self, width_px: float, height_px: float, margin_px: float
    ) -> tuple[float, float] | None:
        """Left top of a free spot, or None when none was found in 40 tries."""
        room_x, room_y = self.image.width - width_px, self.image.height - height_px
        if room_x < 2 * margin_px or room_y < 2 * margin_px:
            return None
        for _ in range(40):
            x = self.rng.uniform(margin_px, room_x - margin_px)
            y = self.rng.uniform(margin_px, room_y - margin_px)
            box = (x, y, x + width_px, y + height_px)
            if not any(overlaps(box, other, margin_px) for other in self.taken):
                self.taken.append(box)
                return x, y
        return None

    def print_centred(
        self, font: FreeTypeFont, text: str, centre_px: tuple[float, float], ink: Colour
    ) -> PrintedText:
        """Print a run with its ink centred on a point."""
        w, h = text_size(font, text)
        return print_text(self.draw, font, text, (centre_px[0] - w / 2, centre_px[1] - h / 2), ink)

    def ask(self, text: str, kind: str, printed: PrintedText) -> None:
        """Add a question answered by a printed run."""
        size = printed.size_px / self.unit_px
        self.questions.append(Question(text, printed.text.lower(), kind, printed.box_px_xyxy, size))

    def ask_plain(self, text: str, answer: str, kind: str, box: PixelBox | None = None) -> None:
        """Add a question that needs no reading."""
        self.questions.append(Question(text, answer, kind, box))


def blank_canvas(rng: Random, size_px: tuple[int, int], sizes: SizeMix, split: FontSplit) -> Canvas:
    """A canvas with a plain or shaded light background and a little clutter."""
    width, height = size_px
    base = rng.randint(150, 250)
    top, bottom = jitter(rng, (base, base, base), 25), jitter(rng, (base, base, base), 25)
    if rng.random() < 0.5:
        bottom = top
    image = Image.new("RGB", (width, height), top)
    if top != bottom:
        # Shaded along a column, then widened: resizing both ways at once costs ten times as much.
        column = Image.new("RGB", (1, 2), top)
        column.putpixel((0, 1), bottom)
        column = column.resize((1, height), Image.Resampling.BILINEAR)
        image = column.resize((width, height), Image.Resampling.NEAREST)
    canvas = Canvas(image, (width * height) ** 0.5 / COARSE_SIDE_PX, rng, sizes, split)
    for _ in range(rng.choice((0, 0, 4, 8))):
        ends = [(rng.uniform(0, width), rng.uniform(0, height)) for _ in range(2)]
        canvas.draw.line(ends, fill=jitter(rng, top, 14), width=max(1, round(canvas.unit_px)))
    return canvas
