"""Pieces of printed text with their places, and which of them stand on one row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from qzoom.data.records import PixelBox

_LEAST_SHARED_HEIGHT: Final = 0.5


@dataclass(frozen=True)
class Printed:
    """A word, a cell of a table or a line, and its box in pixels."""

    text: str
    box_px_xyxy: PixelBox

    @property
    def height_px(self) -> float:
        """Height of the box."""
        return self.box_px_xyxy[3] - self.box_px_xyxy[1]


def on_one_row(one: Printed, other: Printed) -> bool:
    """Whether two pieces share at least half of the lower one's height."""
    (_, top, _, bottom), (_, other_top, _, other_bottom) = one.box_px_xyxy, other.box_px_xyxy
    shared = min(bottom, other_bottom) - max(top, other_top)
    return shared >= _LEAST_SHARED_HEIGHT * min(one.height_px, other.height_px)


def row_mates(pieces: Sequence[Printed]) -> dict[Printed, list[Printed]]:
    """For each piece the others on its row, from left to right.

    Being on one row is taken between two pieces at a time, as rows of a scan are seldom level.
    """
    found: dict[Printed, list[Printed]] = {piece: [] for piece in pieces}
    downwards = sorted(found, key=lambda piece: piece.box_px_xyxy[1])
    for index, piece in enumerate(downwards):
        for other in downwards[index + 1 :]:
            if other.box_px_xyxy[1] >= piece.box_px_xyxy[3]:
                break
            if on_one_row(piece, other):
                found[piece].append(other)
                found[other].append(piece)
    for mates in found.values():
        mates.sort(key=lambda piece: piece.box_px_xyxy[0])
    return found


def surrounding(boxes_px_xyxy: Iterable[PixelBox]) -> PixelBox:
    """The smallest box around all of them."""
    left, top, right, bottom = zip(*boxes_px_xyxy, strict=True)
    return min(left), min(top), max(right), max(bottom)
