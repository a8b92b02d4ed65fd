"""Gate thresholds for levels of effort, chosen on held-out questions answered both ways."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Final

from qzoom.errors import ConfigError, LabelError
from qzoom.intervals import wilson
from qzoom.zoom.effort import NEVER


@dataclass(frozen=True)
class RoutedOutcome:
    """A question's refine probability, and whether it is right directly and when zoomed."""

    probability: float
    direct_right: bool
    zoom_right: bool


@dataclass(frozen=True)
class Effort:
    """What a level wants; give one of the two.

    Args:
        min_skipped: At least this share of questions is answered directly, as well as can be.
        max_loss: As few zooms as can be, for at most this much below the best accuracy.

    Raises:
        ConfigError: If none or both are given, or a share is not from 0 to 1.
    """

    min_skipped: float | None = None
    max_loss: float | None = None

    def __post_init__(self) -> None:
        if (self.min_skipped is None) == (self.max_loss is None):
            raise ConfigError("an effort needs min_skipped or max_loss, and not both")
        share = self.max_loss if self.min_skipped is None else self.min_skipped
        if share is None or not 0 <= share <= 1:
            raise ConfigError(f"an effort's share is {share}; it must be from 0 to 1")


EFFORTS: Final[Mapping[str, Effort]] = MappingProxyType(
    {
        "low": Effort(min_skipped=0.8),
        "medium": Effort(max_loss=0.01),
        "high": Effort(max_loss=0.0),
    }
)


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold (zoom where the probability is at least this) and what it gives.

    Accuracy and share zoomed are those of the samples the threshold was chosen on, with 95 %
    Wilson intervals; the choice makes them a little too good, so report them on other samples.
    """

    threshold: float
    accuracy: float
    accuracy_95: tuple[float, float]
    zoomed: float
    zoomed_95: tuple[float, float]
    samples: int

    def to_json(self) -> dict[str, Any]:
        """Fields by name."""
        return asdict(self)


def choose_operating_points(
    outcomes: Sequence[RoutedOutcome], efforts: Mapping[str, Effort] = EFFORTS
) -> dict[str, OperatingPoint]:
    """A threshold for every level of effort.

    Candidates lie half-way between neighbouring probabilities, below all and above all. No level
    zooms more than a higher one: where its own choice would, it takes the higher one's.

    Args:
        efforts: From the lowest level to the highest.

    Raises:
        LabelError: If there is no outcome, or a probability lies outside [0, 1].
    """
    curve = operating_curve(outcomes)
    chosen: dict[str, OperatingPoint] = {}
    most = curve[-1]
    for name, effort in reversed(list(efforts.items())):
        most = min(_choose(curve, effort), most, key=lambda point: point.zoomed)
        chosen[name] = most
    return {name: chosen[name] for name in efforts}


def operating_curve(outcomes: Iterable[RoutedOutcome]) -> list[OperatingPoint]:
    """Every threshold that routes differently, from never zooming to always.

    Raises:
        LabelError: If there is no outcome, or a probability lies outside [0, 1].
    """
    ranked = sorted(outcomes, key=lambda outcome: -outcome.probability)
    if not ranked:
        raise LabelError("no outcomes to choose thresholds from; answer some questions both ways")
    for outcome in ranked:
        if not 0 <= outcome.probability <= 1:
            raise LabelError(f"a gate probability is {outcome.probability}; it must be from 0 to 1")
    total = len(ranked)
    right = sum(outcome.direct_right for outcome in ranked)
    highest = ranked[0].probability
    curve = [_point(_between(highest, 1.0, above=NEVER), right, 0, total)]
    for place, outcome in enumerate(ranked, start=1):
        right += outcome.zoom_right - outcome.direct_right
        following = ranked[place].probability if place < total else None
        if following == outcome.probability:
            continue  # equal probabilities zoom together
        here = outcome.probability
        threshold = 0.0 if following is None else _between(following, here, above=here)
        curve.append(_point(threshold, right, place, total))
    return curve


def _between(low: float, high: float, above: float) -> float:
    """Half-way, or `above` where that would not be above `low`."""
    middle = (low + high) / 2
    return middle if middle > low else above


def _point(threshold: float, right: int, zoomed: int, total: int) -> OperatingPoint:
    return OperatingPoint(
        threshold,
        right / total,
        wilson(right, total),
        zoomed / total,
        wilson(zoomed, total),
        total,
    )


def _choose(curve: Sequence[OperatingPoint], effort: Effort) -> OperatingPoint:
    """The curve starts with the fewest zooms, so the first of equals zooms least."""
    if effort.min_skipped is not None:
        # The share as a count, as 1 - 0.8 is not exactly 0.2.
        room = math.floor((1 - effort.min_skipped) * curve[0].samples + 1e-9)
        allowed = [p for p in curve if round(p.zoomed * p.samples) <= room]
        return max(allowed, key=lambda point: point.accuracy)
    assert effort.max_loss is not None
    least = max(point.accuracy for point in curve) - effort.max_loss - 1e-12
    return next(point for point in curve if point.accuracy >= least)
