"""Menus and receipts: a title, rows of a word and a number, and a total."""

from __future__ import annotations

from PIL.ImageFont import FreeTypeFont

from qzoom.synth.canvas import Canvas
from qzoom.synth.drawing import PrintedText, ink_for, jitter, print_text, text_size
from qzoom.synth.fonts import faces
from qzoom.synth.lexicon import TABLE_TITLES, WORDS


def draw_table(canvas: Canvas) -> None:
    """Draw one table with 2 to 5 rows; row names are readable from afar, values may be small."""
    rng, unit = canvas.rng, canvas.unit_px
    width, height = canvas.image.size
    pad = rng.uniform(6, 12) * unit
    paper = jitter(rng, (244, 242, 236), 8)
    canvas.draw.rectangle((pad, pad, width - pad, height - pad), fill=paper)
    ink = ink_for(rng, paper)
    face = rng.choice(faces(canvas.split))
    names = canvas.font(rng.uniform(11.5, 13.5), face)
    figures = canvas.font(canvas.sizes.pick(rng), face)
    title = rng.choice(TABLE_TITLES).upper()
    titles = canvas.font(rng.uniform(13, 16), face)
    printed = canvas.print_centred(titles, title, (width / 2, pad + 14 * unit), ink)
    canvas.ask("what is the title of the table?", "table_title", printed)
    rows = rng.sample(WORDS, rng.randint(2, 5))
    # The total keeps to three digits, as all numbers of the world do.
    values = [rng.randint(1, rng.choice((9, 99, 999 // len(rows)))) for _ in rows]
    pitch = (height - 2 * pad - 40 * unit) / (len(rows) + 1)
    left = pad + rng.uniform(6, 12) * unit
    column = width - pad - rng.uniform(8, 20) * unit
    y = pad + 34 * unit
    for name, value in zip([*rows, "total"], [*values, sum(values)], strict=True):
        print_text(canvas.draw, names, name.upper(), (left, y), ink)
        figure = _right_aligned(canvas, figures, str(value), (column, y), ink)
        question = "what is the total?" if name == "total" else f"what is the value of {name}?"
        canvas.ask(question, "table_total" if name == "total" else "table_value", figure)
        y += pitch
    line = y - pitch - 0.35 * pitch
    canvas.draw.line((left, line, column, line), fill=ink, width=max(1, round(0.6 * unit)))


def _right_aligned(
    canvas: Canvas,
    font: FreeTypeFont,
    text: str,
    right_top_px: tuple[float, float],
    ink: tuple[int, int, int],
) -> PrintedText:
    w, _ = text_size(font, text)
    return print_text(canvas.draw, font, text, (right_top_px[0] - w, right_top_px[1]), ink)
