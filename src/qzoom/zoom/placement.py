"""Where the prompts of a batch lie: short ones share a row instead of padding to a long one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

APART = -1
"""Segment of a row's padding."""


@dataclass(frozen=True)
class Place:
    """Rows `start` to `end` of one row of the batch."""

    row: int
    start: int
    length: int

    @property
    def end(self) -> int:
        """First row after the prompt."""
        return self.start + self.length


def one_per_row(lengths: Sequence[int]) -> list[Place]:
    """Every prompt in a row of its own."""
    return [Place(row, 0, length) for row, length in enumerate(lengths)]


def fitted(lengths: Sequence[int]) -> list[Place]:
    """Prompts in rows as long as the longest: first fit, the longest first.

    Returns:
        a place for each prompt, in the order given.
    """
    capacity, filled = max(lengths, default=0), list[int]()
    places: dict[int, Place] = {}
    for prompt in sorted(range(len(lengths)), key=lambda prompt: -lengths[prompt]):
        length = lengths[prompt]
        fits = (row for row, used in enumerate(filled) if used + length <= capacity)
        row = next(fits, len(filled))
        if row == len(filled):
            filled.append(0)
        places[prompt] = Place(row, filled[row], length)
        filled[row] += length
    return [places[prompt] for prompt in range(len(lengths))]


def rows_in(places: Sequence[Place]) -> list[list[int]]:
    """The prompts of each row, from left to right."""
    rows: list[list[int]] = [[] for _ in range(1 + max(place.row for place in places))]
    for prompt in sorted(range(len(places)), key=lambda prompt: places[prompt].start):
        rows[places[prompt].row].append(prompt)
    return rows


def segments(places: Sequence[Place]) -> Tensor:
    """Which prompt each row belongs to, of shape `(B, N)`; `APART` at padding."""
    shape = 1 + max(place.row for place in places), max(place.end for place in places)
    found_bn = torch.full(shape, APART)
    for prompt, place in enumerate(places):
        found_bn[place.row, place.start : place.end] = prompt
    return found_bn
