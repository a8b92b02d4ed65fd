"""Pale cards, each with a coloured shape and a word or number beside it."""

from __future__ import annotations

from qzoom.synth.canvas import Canvas
from qzoom.synth.drawing import draw_shape, ink_for, jitter, print_text, text_size
from qzoom.synth.lexicon import COLOURS, SHAPES, WORDS
from qzoom.synth.windows import random_number


def draw_cards(canvas: Canvas) -> None:
    """Draw 2 to 6 cards with distinct shapes and colours and ask what stands beside them."""
    rng = canvas.rng
    count = rng.randint(2, 6)
    colours, shapes = rng.sample(sorted(COLOURS), count), rng.sample(SHAPES, count)
    for colour, shape in zip(colours, shapes, strict=True):
        _draw_card(canvas, colour, shape)


def _draw_card(canvas: Canvas, colour: str, shape: str) -> None:
    rng, unit = canvas.rng, canvas.unit_px
    font = canvas.font(canvas.sizes.pick(rng))
    what = rng.choice(("word", "number"))
    text = random_number(rng) if what == "number" else rng.choice(WORDS).upper()
    text_w, text_h = text_size(font, text)
    radius = rng.uniform(9, 13) * unit
    pad = rng.uniform(4, 7) * unit
    width = 2 * radius + text_w + 3 * pad
    height = max(2 * radius, text_h) + 2 * pad
    spot = canvas.place(width, height, 3 * unit)
    if spot is None:
        return
    x, y = spot
    paper = jitter(rng, (240, 240, 240), 12)
    edge = max(1, round(0.7 * unit))
    canvas.draw.rectangle((x, y, x + width, y + height), fill=paper, outline=(120,) * 3, width=edge)
    middle = y + height / 2
    centre = (x + pad + radius, middle)
    box = draw_shape(canvas.draw, shape, centre, radius, jitter(rng, COLOURS[colour], 14))
    left_top = (x + 2 * pad + 2 * radius, middle - text_h / 2)
    printed = print_text(canvas.draw, font, text, left_top, ink_for(rng, paper))
    name = rng.choice((shape, f"{colour} {shape}"))
    canvas.ask(f"what {what} is next to the {name}?", f"card_{what}", printed)
    if rng.random() < 0.5:
        canvas.ask_plain(f"what colour is the {shape}?", colour, "colour", box)
    else:
        canvas.ask_plain(f"what shape is {colour}?", shape, "shape", box)
