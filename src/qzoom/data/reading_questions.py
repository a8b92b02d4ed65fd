"""Questions whose answers are simply read off: exact, and with one answer on the whole picture.

Print that a question names stands in double quotes; what is left is the question's kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from qzoom.data.records import PixelBox, Turn
from qzoom.data.text_layout import Printed, row_mates, surrounding

MAX_CHARS: Final = 32
"""Longest text that a question names or asks for."""

_LETTER: Final = re.compile(r"[^\W\d_]")
_SAYS: Final = re.compile(r"\w")
# "DATE: 11/01/2019", but not "NO: 7 DATE: 11/01/2019" and not the time in "at 12:30".
_KEY_VALUE: Final = re.compile(r"(?P<key>[^:]+?)\s*:\s+(?P<value>(?:(?![^\W\d_]+\s*:).)+)")


@dataclass(frozen=True)
class Reading:
    """A question, and the part of the picture that has to be seen to answer it."""

    turn: Turn
    seen_px_xyxy: PixelBox


def next_to(pieces: Sequence[Printed]) -> Iterator[Reading]:
    """What stands right of a label: in a row of just two pieces, or behind a colon."""
    page = folded("\n".join(piece.text for piece in pieces))
    mates = row_mates(pieces)
    for piece in pieces:
        inside = _KEY_VALUE.fullmatch(piece.text)
        if inside is not None:
            yield from _next_to(inside["key"], inside["value"], piece, piece, page)
        elif len(mates[piece]) == 1 and len(mates[mates[piece][0]]) == 1:
            value = mates[piece][0]
            label = piece.text.removesuffix(":").rstrip()
            if value.box_px_xyxy[0] > piece.box_px_xyxy[0] and ":" not in label:
                yield from _next_to(label, value.text, piece, value, page)


def below(pieces: Sequence[Printed]) -> Iterator[Reading]:
    """What stands under a piece that is alone on its row: one piece, close, alone on its own."""
    page = folded("\n".join(piece.text for piece in pieces))
    mates = row_mates(pieces)
    downwards = sorted(mates, key=lambda piece: piece.box_px_xyxy[1])
    for upper, lower in pairwise(downwards):
        if mates[upper] or mates[lower] or not _is_close(upper, lower):
            continue
        if occurs_once(upper.text, page) and is_short(lower.text):
            seen = surrounding((upper.box_px_xyxy, lower.box_px_xyxy))
            yield _reading(f'what is printed below "{upper.text}"?', lower.text, lower, seen)


def first_and_last(pieces: Sequence[Printed]) -> Iterator[Reading]:
    """The topmost and the lowest piece, where each is alone on its row."""
    mates = row_mates(pieces)
    downwards = sorted(mates, key=lambda piece: piece.box_px_xyxy[1])
    for name, piece in (("first", downwards[0]), ("last", downwards[-1])):
        if not mates[piece] and is_short(piece.text):
            question = f"what does the {name} line say?"
            yield _reading(question, piece.text, piece, piece.box_px_xyxy)


def occurs_once(text: str, folded_page: str) -> bool:
    """Whether a question may name this text: short, with a letter, and nowhere else on the page."""
    named = folded(text)
    return (
        0 < len(named) <= MAX_CHARS
        and '"' not in named
        and _LETTER.search(named) is not None
        and folded_page.count(named) == 1
    )


def is_short(answer: str) -> bool:
    """Whether a question may ask for this text: it says something, and not too much."""
    return len(answer) <= MAX_CHARS and _SAYS.search(answer) is not None


def folded(text: str) -> str:
    """Text as it is compared: case folded, spaces within a line made one."""
    return "\n".join(" ".join(line.split()) for line in text.casefold().split("\n"))


def _next_to(
    label: str, value: str, piece: Printed, place: Printed, page: str
) -> Iterator[Reading]:
    answer = value.strip().removeprefix(":").strip()
    # A value that ends in a colon is a label itself.
    if occurs_once(label, page) and is_short(answer) and not answer.endswith(":"):
        seen = surrounding((piece.box_px_xyxy, place.box_px_xyxy))
        yield _reading(f'what is written next to "{label}"?', answer, place, seen)


def _reading(question: str, answer: str, place: Printed, seen_px_xyxy: PixelBox) -> Reading:
    return Reading(Turn(question, (answer,), (place.box_px_xyxy,)), seen_px_xyxy)


def _is_close(upper: Printed, lower: Printed) -> bool:
    """Whether one stands under the other with less than a line between them."""
    (left, _, right, bottom), (other_left, top, other_right, _) = (
        upper.box_px_xyxy,
        lower.box_px_xyxy,
    )
    overlaps = min(right, other_right) > max(left, other_left)
    return overlaps and top - bottom < min(upper.height_px, lower.height_px)
