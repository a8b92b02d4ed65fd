"""Bar charts with coloured bars and printed values."""

from __future__ import annotations

from qzoom.synth.canvas import Canvas
from qzoom.synth.drawing import PixelBox, ink_for, jitter, text_size
from qzoom.synth.lexicon import COLOURS, WORDS


def draw_chart(canvas: Canvas) -> None:
    """Draw one chart of 3 to 6 bars over the canvas; ask for values, the title and the tallest."""
    rng, unit = canvas.rng, canvas.unit_px
    _print_title(canvas)
    colours = rng.sample(sorted(COLOURS), rng.randint(3, 6))
    most = rng.choice((99, 999))
    values = rng.sample(range(most // 8 + 1, most + 1), len(colours))
    bars = _draw_bars(canvas, dict(zip(colours, values, strict=True)), most)
    width, height = canvas.image.size
    ends = (12 * unit, height - 12 * unit, width - 12 * unit, height - 12 * unit)
    canvas.draw.line(ends, fill=(60, 60, 60), width=max(1, round(unit)))
    tallest = colours[values.index(max(values))]
    canvas.ask_plain("which bar is the tallest?", tallest, "tallest", bars[tallest])


def _print_title(canvas: Canvas) -> None:
    rng = canvas.rng
    font = canvas.font(rng.uniform(12, 15))
    middle = (canvas.image.width / 2, 16 * canvas.unit_px)
    word = rng.choice(WORDS).upper()
    title = canvas.print_centred(font, word, middle, ink_for(rng, (220, 220, 220)))
    canvas.ask("what is the title of the chart?", "chart_title", title)


def _draw_bars(canvas: Canvas, values: dict[str, int], most: int) -> dict[str, PixelBox]:
    """Bars from left to right with their values inside, at the top; `most` reaches the ceiling.

    Returns:
        the box of each bar in canvas pixels.
    """
    rng, unit = canvas.rng, canvas.unit_px
    width, height = canvas.image.size
    left, right, floor, ceiling = 12 * unit, width - 12 * unit, height - 12 * unit, 36 * unit
    slot = (right - left) / len(values)
    half = slot * rng.uniform(0.36, 0.44)
    size = min(canvas.sizes.pick(rng), 1.8 * half / unit / (1.3 if most == 99 else 1.9))
    font = canvas.font(size)
    bars: dict[str, PixelBox] = {}
    for index, (colour, value) in enumerate(values.items()):
        centre = left + (index + 0.5) * slot
        top = floor - value / most * (floor - ceiling)
        fill = jitter(rng, COLOURS[colour], 14)
        bars[colour] = (centre - half, top, centre + half, floor)
        canvas.draw.rectangle(bars[colour], fill=fill)
        middle = top + 0.35 * font.size + text_size(font, str(value))[1] / 2
        printed = canvas.print_centred(font, str(value), (centre, middle), ink_for(rng, fill))
        canvas.ask(f"what is the value of the {colour} bar?", "chart_value", printed)
    return bars
