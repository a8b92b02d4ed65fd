"""Short labels beside points, where they cover the least of a diagram."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Where a label's centre may be, in units of its half size and the gap, nearest and plainest first.
DIRECTIONS: Final = ((1, -1), (-1, 1), (1, 1), (-1, -1), (0, 1.4), (0, -1.4), (1.3, 0), (-1.3, 0))
GAP_PX: Final = 7.0
STEPS: Final = 60
"""Of a line that labels keep clear of."""


class PointLabel(NamedTuple):
    """A text, the point in data coordinates that it belongs to, and its colour."""

    text: str
    point: tuple[float, float]
    colour: str


def place_labels(
    axes: Any,
    labels: Sequence[PointLabel],
    lines: Sequence[Sequence[tuple[float, float]]],
    size_pt: float,
) -> None:
    """Draw every label on the side of its point where it covers least.

    Limits and layout of the axes must be final.

    Args:
        lines: in data coordinates; labels keep clear of them and of all points.
    """
    to_px = axes.transData
    covered = [_along(to_px.transform(np.array(line, float))) for line in lines]
    covered += [to_px.transform(np.array([label.point for label in labels]))] * 3
    taken: NDArray[np.float64] = np.concatenate(covered)
    dots_per_pt = axes.figure.dpi / 72
    frame_px = axes.get_window_extent()
    for label in labels:
        half_px = np.array([0.31 * len(label.text), 0.5]) * size_pt * dots_per_pt
        anchor_px = to_px.transform(np.array(label.point))
        centres = [
            anchor_px + np.array(direction) * (half_px + GAP_PX * dots_per_pt / 1.5)
            for direction in DIRECTIONS
        ]
        costs = [_inside(taken, centre, half_px) for centre in centres]
        costs = [
            cost + 100 * (not frame_px.contains(*(centre + np.sign(centre - anchor_px) * half_px)))
            for cost, centre in zip(costs, centres, strict=True)
        ]
        best = centres[int(np.argmin(costs))]
        axes.annotate(
            label.text, label.point, xytext=(best - anchor_px) / dots_per_pt,
            textcoords="offset points", ha="center", va="center",
            fontsize=size_pt, color=label.colour,
        )  # fmt: skip
        # A label weighs more than a line: texts on each other cannot be read.
        taken = np.concatenate([taken, *[_box(best, half_px)] * 3])


def _along(corners_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places along a line of straight pieces."""
    steps = np.linspace(0, 1, STEPS)[:, None]
    return np.concatenate([start + steps * (end - start) for start, end in pairwise(corners_px)])


def _box(centre_px: NDArray[np.float64], half_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places all over a label."""
    shares = np.linspace(-1, 1, 5)
    return np.array([centre_px + half_px * (x, y) for x in shares for y in shares])


def _inside(
    places_px: NDArray[np.float64], centre_px: NDArray[np.float64], half_px: NDArray[np.float64]
) -> int:
    margin_px = half_px + 2
    return int((np.abs(places_px - centre_px) <= margin_px).all(axis=1).sum())
