"""What of a rendered page is shown and asked: windows, boxes on visible print, drawn questions."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from random import Random
from typing import Final

from PIL import Image

from qzoom.data.reading_questions import Reading
from qzoom.data.records import PixelBox, Turn
from qzoom.geometry.boxes import Box, contains

_LEAST_CONTRAST: Final = 48
"""Difference of the darkest and the lightest grey, of 255, where something is printed."""


def pixel_box(reading: Reading, size_px: tuple[int, int]) -> Box:
    """The answer's box in whole pixels, cut to the picture; it may be empty then."""
    (box,) = reading.turn.boxes_px_xyxy
    left, top, right, bottom = box
    return Box(
        max(0, math.floor(left)),
        max(0, math.floor(top)),
        min(size_px[0], math.ceil(right)),
        min(size_px[1], math.ceil(bottom)),
    )


def has_ink(picture: Image.Image, box_px_xyxy: Box) -> bool:
    """Whether something can be seen in a box: text of a PDF may be white, covered or clipped."""
    if box_px_xyxy.width < 1 or box_px_xyxy.height < 1:
        return False
    lightest, darkest = _extremes(picture.crop(box_px_xyxy))
    return lightest - darkest >= _LEAST_CONTRAST


def window_around(
    readings: Sequence[Reading], size_px: tuple[int, int], side_px: int | None, seed: str
) -> Box:
    """The part of a page that is shown: all of it, or a square around one of its questions.

    Args:
        side_px: side of the square, cut to the page; None shows all of the page.
        seed: names the draw of the question and of the place around it.
    """
    width, height = size_px
    whole = Box(0, 0, width, height)
    if side_px is None:
        return whole
    wide, high = min(side_px, width), min(side_px, height)
    fitting = [
        seen
        for seen in (reading.seen_px_xyxy for reading in readings)
        if contains(whole, seen) and seen[2] - seen[0] <= wide and seen[3] - seen[1] <= high
    ]
    rng = Random(seed)
    left, top, right, bottom = rng.choice(fitting) if fitting else (0.0, 0.0, 0.0, 0.0)
    x = _start(left, right, wide, width, rng)
    y = _start(top, bottom, high, height, rng)
    return Box(x, y, x + wide, y + high)


def shifted(readings: Sequence[Reading], window_px_xyxy: Box) -> Iterator[Turn]:
    """Questions about what the window shows in full, with boxes in its own pixels."""
    x, y, *_ = window_px_xyxy
    size_px = (window_px_xyxy.width, window_px_xyxy.height)
    for reading in readings:
        if not contains(window_px_xyxy, reading.seen_px_xyxy):
            continue
        (box,) = reading.turn.boxes_px_xyxy
        moved = (box[0] - x, box[1] - y, box[2] - x, box[3] - y)
        turn = Turn(reading.turn.question, reading.turn.answers, (moved,))
        whole: PixelBox = pixel_box(Reading(turn, moved), size_px)
        yield Turn(turn.question, turn.answers, (whole,))


def draw_readings(turns: Iterator[Turn], most: int, seed: str) -> tuple[Turn, ...]:
    """At most so many questions, in page order, taken from each kind in turn."""
    kinds: dict[str, list[tuple[bytes, int, Turn]]] = {}
    for place, turn in enumerate(turns):
        rank = hashlib.sha256(f"{seed}/{turn.question}".encode()).digest()
        kind = turn.question.partition('"')[0]
        kinds.setdefault(kind, []).append((rank, place, turn))
    in_turn = zip_longest(*(sorted(group) for _, group in sorted(kinds.items())))
    drawn = [ranked for ranks in in_turn for ranked in ranks if ranked is not None][:most]
    return tuple(turn for _, _, turn in sorted(drawn, key=lambda ranked: ranked[1]))


def _start(low: float, high: float, side: int, limit: int, rng: Random) -> int:
    """Where a span of `side` may start so that it holds low..high and stays in 0..limit."""
    first = max(0, math.ceil(high) - side)
    last = min(limit - side, math.floor(low))
    return rng.randint(first, max(first, last))


def _extremes(picture: Image.Image) -> tuple[float, float]:
    darkest, lightest = picture.convert("L").getextrema()
    assert isinstance(darkest, int | float)
    assert isinstance(lightest, int | float)
    return lightest, darkest
