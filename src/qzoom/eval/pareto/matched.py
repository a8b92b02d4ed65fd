"""What a method saves against direct answers that are as good: times faster, tokens fewer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from qzoom.eval.pareto.points import Point

DIRECT: Final = "direct"


@dataclass(frozen=True)
class Match:
    """A point against direct answers of the same score.

    reached: whether direct answers get as good; where not, the comparison is with their best.
    direct_cells: budgets that the matching place of the direct curve lies between.
    speed_up: samples per second over those of the matching place.
    fewer_tokens: share of the matching place's visual tokens that is saved.
    """

    method: str
    max_cells: int
    score: float
    reached: bool
    direct_cells: tuple[int, int]
    direct_score: float
    direct_samples_per_s: float
    direct_visual_tokens: float
    speed_up: float
    fewer_tokens: float

    def to_json(self) -> dict[str, Any]:
        """Numbers to four digits."""
        rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(self).items()}
        return rounded | {"direct_cells": list(self.direct_cells)}


def match(point: Point, direct: Sequence[Point]) -> Match:
    """The smallest direct budget with at least the point's score.

    Between two budgets the direct curve is straight in score over the logarithms of throughput and
    tokens; below its smallest budget nothing is extrapolated.

    Args:
        direct: points of direct answers, by rising budget; at least one.
    """
    score = point.score.mean
    for place, upper in enumerate(direct):
        if upper.score.mean >= score:
            lower = direct[max(0, place - 1)]
            gain = upper.score.mean - lower.score.mean
            share = (score - lower.score.mean) / gain if gain > 0 else 1.0
            return _match(point, lower, upper, share, reached=True)
    best = peak(direct)
    return _match(point, best, best, 1.0, reached=False)


def at_peak(points: Sequence[Point], direct: Sequence[Point]) -> Match | None:
    """The fastest point that is at least as good as direct answers ever get, against their best.

    This is the paper's comparison; None where no point is as good.
    """
    best = peak(direct)
    good = [point for point in points if point.score.mean >= best.score.mean]
    if not good:
        return None
    fastest = max(good, key=lambda point: point.samples_per_s)
    return _match(fastest, best, best, 1.0, reached=True)


def peak(points: Sequence[Point]) -> Point:
    """The best score, at the smallest budget that has it."""
    return max(points, key=lambda point: (point.score.mean, -point.key.max_cells))


def front(points: Sequence[Point], gain: Callable[[Point], float]) -> list[Point]:
    """Points that no other beats in score without being worse in `gain`; by falling gain.

    Args:
        gain: more of it is better, such as samples per second, or fewer tokens as a negative.
    """
    found: list[Point] = []
    for point in sorted(points, key=lambda point: (-gain(point), -point.score.mean)):
        if not found or point.score.mean > found[-1].score.mean:
            found.append(point)
    return found


def _match(point: Point, lower: Point, upper: Point, share: float, *, reached: bool) -> Match:
    rate = _between(lower.samples_per_s, upper.samples_per_s, share)
    tokens = _between(lower.visual_tokens, upper.visual_tokens, share)
    return Match(
        point.key.method,
        point.key.max_cells,
        point.score.mean,
        reached,
        (lower.key.max_cells, upper.key.max_cells),
        lower.score.mean + share * (upper.score.mean - lower.score.mean),
        rate,
        tokens,
        point.samples_per_s / rate,
        1 - point.visual_tokens / tokens,
    )


def _between(low: float, high: float, share: float) -> float:
    """On the straight line between two logarithms."""
    return math.exp((1 - share) * math.log(low) + share * math.log(high))
