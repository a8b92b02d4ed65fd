"""Questions about a page of words: what comes after two words, and what stands next to a label."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from qzoom.data.reading_questions import MAX_CHARS, Reading, folded, next_to
from qzoom.data.records import Turn
from qzoom.data.text_layout import Printed, surrounding

MIN_HEIGHT_PX: Final = 8
"""Words lower than this cannot be read even at full size."""

_WORD: Final = re.compile(r"[^\W\d_]{2,}(?:['-][^\W\d_]+)*")
_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*%?")
_AROUND: Final = ".,;:!?()[]{}<>«»“”„\u2018'\"…"
_SAYS: Final = re.compile(r"\w")


def page_readings(lines: Sequence[Sequence[Printed]]) -> list[Reading]:
    """All questions about a page, given the words of its lines in reading order."""
    cells = [cell for line in lines for cell in _cells(line)]
    return [*_after(lines, cells), *_next_to(cells)]


def _after(lines: Sequence[Sequence[Printed]], cells: Sequence[list[Printed]]) -> Iterator[Reading]:
    """The word or number behind two words that come together only once on the page."""
    times = Counter(pairwise(_bare(word) for line in lines for word in line))
    for cell in cells:
        for one, two, answer in zip(cell, cell[1:], cell[2:], strict=False):
            named = f"{one.text} {two.text}"
            text = answer.text.strip(_AROUND)
            kind = _kind(text)
            if kind is None or not _is_readable(answer) or not _can_name(one, two):
                continue
            if times[_bare(one), _bare(two)] == 1:
                turn = Turn(f'what {kind} comes after "{named}"?', (text,), (answer.box_px_xyxy,))
                boxes = (word.box_px_xyxy for word in (one, two, answer))
                yield Reading(turn, surrounding(boxes))


def _next_to(cells: Sequence[list[Printed]]) -> Iterator[Reading]:
    pieces = [_joined(part) for cell in cells for part in _key_and_value(cell)]
    for reading in next_to(pieces):
        (box,) = reading.turn.boxes_px_xyxy
        if _is_readable(Printed(reading.turn.answers[0], box)):
            yield reading


def _cells(line: Sequence[Printed]) -> Iterator[list[Printed]]:
    """The words of a line, cut where the gap is wider than the print is high."""
    cell: list[Printed] = []
    for word in line:
        if cell and not 0 <= word.box_px_xyxy[0] - cell[-1].box_px_xyxy[2] <= word.height_px:
            yield cell
            cell = []
        cell.append(word)
    if cell:
        yield cell


def _key_and_value(cell: list[Printed]) -> list[list[Printed]]:
    """A cell cut behind its colon, where it has just one."""
    ends = [index for index, word in enumerate(cell) if word.text.endswith(":")]
    if len(ends) != 1 or ends[0] == len(cell) - 1:
        return [cell]
    return [cell[: ends[0] + 1], cell[ends[0] + 1 :]]


def _joined(words: Sequence[Printed]) -> Printed:
    boxes = (word.box_px_xyxy for word in words)
    return Printed(" ".join(word.text for word in words), surrounding(boxes))


def _bare(word: Printed) -> str:
    """A word as it is compared: a comma behind it makes no other word of it."""
    return folded(word.text).strip(_AROUND)


def _kind(answer: str) -> str | None:
    if len(answer) > MAX_CHARS:
        return None
    if _WORD.fullmatch(answer):
        return "word"
    return "number" if _NUMBER.fullmatch(answer) else None


def _can_name(one: Printed, two: Printed) -> bool:
    named = f"{one.text} {two.text}"
    says = _SAYS.search(one.text) is not None and _SAYS.search(two.text) is not None
    return says and len(named) <= MAX_CHARS and '"' not in named


def _is_readable(word: Printed) -> bool:
    """Large enough, and not written upwards."""
    left, _, right, _ = word.box_px_xyxy
    upright = len(word.text) < 3 or word.height_px <= right - left
    return word.height_px >= MIN_HEIGHT_PX and upright
