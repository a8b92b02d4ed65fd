"""Street scenes of coloured signs, each with a word, a number or both."""

from __future__ import annotations

from random import Random

from qzoom.synth.canvas import Canvas
from qzoom.synth.drawing import ink_for, jitter, text_size
from qzoom.synth.lexicon import COLOURS, WORDS
from qzoom.synth.windows import random_number


def draw_signs(canvas: Canvas) -> None:
    """Draw up to 7 signs of distinct colours; ask what they say, how many and which there are."""
    rng = canvas.rng
    colours = rng.sample(sorted(COLOURS), rng.randint(3, 7))
    shown = [colour for colour in colours if _draw_sign(canvas, colour)]
    if shown:
        canvas.ask_plain("how many signs are there?", str(len(shown)), "count")
        hidden = [c for c in COLOURS if c not in shown]
        probe = rng.choice(shown if rng.random() < 0.5 else hidden)
        canvas.ask_plain(f"is there a {probe} sign?", "yes" if probe in shown else "no", "exists")


def _draw_sign(canvas: Canvas, colour: str) -> bool:
    rng, unit = canvas.rng, canvas.unit_px
    font = canvas.font(canvas.sizes.pick(rng))
    lines = _random_lines(rng)
    sizes = {what: text_size(font, text) for what, text in lines.items()}
    gap = 0.5 * font.size
    inner_w = max(w for w, _ in sizes.values())
    inner_h = sum(h for _, h in sizes.values()) + gap * (len(sizes) - 1)
    width = max(inner_w + font.size * rng.uniform(0.8, 2.0), rng.uniform(32, 56) * unit)
    height = max(inner_h + font.size * rng.uniform(0.8, 1.6), rng.uniform(22, 40) * unit)
    spot = canvas.place(width, height, 3 * unit)
    if spot is None:
        return False
    x, y = spot
    paper = jitter(rng, COLOURS[colour], 14)
    radius = rng.choice((0.0, 0.15)) * height
    canvas.draw.rounded_rectangle((x, y, x + width, y + height), radius, fill=paper)
    ink = ink_for(rng, paper)
    top = y + _space_above(rng, height - inner_h)
    for what, text in lines.items():
        h = sizes[what][1]
        printed = canvas.print_centred(font, text, (x + width / 2, top + h / 2), ink)
        canvas.ask(f"what {what} is on the {colour} sign?", f"sign_{what}", printed)
        top += h + gap
    return True


def _random_lines(rng: Random) -> dict[str, str]:
    """A word, a number or both, in this order."""
    lines = {"word": rng.choice(WORDS).upper(), "number": random_number(rng)}
    if rng.random() < 0.6:
        lines.pop(rng.choice(("word", "number")))
    return lines


def _space_above(rng: Random, room_px: float) -> float:
    """Share of the free height that lies above the print: half of it, or off the middle."""
    if rng.random() < 0.3:
        return rng.uniform(0.5, 1.0) * room_px / 1.5
    return room_px / 2
