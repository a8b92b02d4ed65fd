"""Thresholds of the levels of effort against an exhaustive search."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qzoom.errors import ConfigError, LabelError
from qzoom.intervals import wilson
from qzoom.labels.operating_points import (
    EFFORTS,
    Effort,
    OperatingPoint,
    RoutedOutcome,
    choose_operating_points,
    operating_curve,
)

OUTCOMES = st.lists(
    st.builds(RoutedOutcome, st.integers(0, 8).map(lambda n: n / 8), st.booleans(), st.booleans()),
    min_size=1,
    max_size=25,
)


def routed(outcomes: list[RoutedOutcome], threshold: float) -> tuple[float, float]:
    """Accuracy and share zoomed."""
    zoomed = [o.probability >= threshold for o in outcomes]
    right = [
        o.zoom_right if zoom else o.direct_right for o, zoom in zip(outcomes, zoomed, strict=True)
    ]
    return sum(right) / len(right), sum(zoomed) / len(zoomed)


@settings(max_examples=40)
@given(OUTCOMES)
def test_points_of_the_curve_give_what_they_say(outcomes: list[RoutedOutcome]) -> None:
    curve = operating_curve(outcomes)
    for point in curve:
        assert routed(outcomes, point.threshold) == pytest.approx((point.accuracy, point.zoomed))
    shares = [point.zoomed for point in curve]
    assert shares == sorted(set(shares))
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert len(curve) == len({o.probability for o in outcomes}) + 1


@settings(max_examples=40)
@given(OUTCOMES, st.sampled_from([0.0, 0.05, 0.2, 1.0]), st.sampled_from([0.0, 0.3, 0.8, 1.0]))
def test_choices_are_the_best(
    outcomes: list[RoutedOutcome], max_loss: float, min_skipped: float
) -> None:
    wanted = {"loss": Effort(max_loss=max_loss), "skip": Effort(min_skipped=min_skipped)}
    points = {
        name: choose_operating_points(outcomes, {name: effort})[name]
        for name, effort in wanted.items()
    }
    tried = [routed(outcomes, t) for t in (*(n / 8 for n in range(9)), 2.0)]
    best = max(accuracy for accuracy, _ in tried)
    near = [zoomed for accuracy, zoomed in tried if accuracy >= best - max_loss - 1e-9]
    assert points["loss"].accuracy >= best - max_loss - 1e-9
    assert points["loss"].zoomed == pytest.approx(min(near))
    allowed = [(a, -z) for a, z in tried if z <= 1 - min_skipped + 1e-9]
    point = points["skip"]
    assert (point.accuracy, -point.zoomed) == pytest.approx(max(allowed))


def test_levels_zoom_more_with_more_effort() -> None:
    # Likely ones are mended by zooming, unlikely ones are right already.
    outcomes = [RoutedOutcome(i / 100, i < 50, True) for i in range(100)]
    points = choose_operating_points(outcomes)
    assert list(points) == ["low", "medium", "high"] == list(EFFORTS)
    assert (points["low"].zoomed, points["low"].accuracy) == (0.2, 0.7)
    assert (points["medium"].zoomed, points["medium"].accuracy) == (0.49, 0.99)
    assert (points["high"].zoomed, points["high"].accuracy) == (0.5, 1.0)
    assert points["high"].threshold == pytest.approx(0.495)
    high = points["high"]
    assert high.accuracy_95 == wilson(100, 100)
    assert high.zoomed_95 == wilson(50, 100)
    json.dumps(high.to_json(), allow_nan=False)


@settings(max_examples=40)
@given(OUTCOMES)
def test_no_level_zooms_more_than_a_higher_one(outcomes: list[RoutedOutcome]) -> None:
    points = choose_operating_points(outcomes)
    assert points["low"].zoomed <= points["medium"].zoomed <= points["high"].zoomed
    assert points["low"].threshold >= points["medium"].threshold >= points["high"].threshold
    assert points["low"].zoomed <= 0.2


def test_a_low_level_takes_the_higher_ones_point_where_its_own_would_zoom_more() -> None:
    # A fifth of the zooms mend one question in 200, which 1 % of loss is too little to pay for.
    outcomes = [RoutedOutcome(0.9, i > 0, True) for i in range(40)]
    outcomes += [RoutedOutcome(0.1, True, True)] * 160
    points = choose_operating_points(outcomes)
    assert (points["high"].zoomed, points["medium"].zoomed, points["low"].zoomed) == (0.2, 0, 0)


def test_a_gate_that_knows_nothing_zooms_always_or_never() -> None:
    outcomes = [RoutedOutcome(1.0, False, True)] * 10
    points = choose_operating_points(outcomes)
    assert points["high"].threshold == 0.0
    assert points["low"].zoomed == 0.0
    assert points["low"].threshold > 1.0
    harmful = [RoutedOutcome(p, True, False) for p in (0.2, 0.9)]
    never = choose_operating_points(harmful)["high"]
    assert (never.zoomed, never.accuracy, never.threshold) == (0.0, 1.0, 0.95)


def test_neighbouring_probabilities_are_told_apart() -> None:
    low = 0.1
    high = math.nextafter(low, 1.0)
    outcomes = [RoutedOutcome(high, False, True), RoutedOutcome(low, True, False)]
    point: OperatingPoint = choose_operating_points(outcomes)["high"]
    assert point.threshold == high
    assert routed(outcomes, point.threshold) == (1.0, 0.5)


def test_mistakes_are_one_line() -> None:
    with pytest.raises(LabelError, match="no outcomes to choose thresholds from"):
        choose_operating_points([])
    for probability in (-0.1, 1.1, math.nan):
        with pytest.raises(LabelError, match="it must be from 0 to 1"):
            operating_curve([RoutedOutcome(probability, True, True)] * 2)
    for settings_ in ({}, {"min_skipped": 0.5, "max_loss": 0.1}):
        with pytest.raises(ConfigError, match="needs min_skipped or max_loss, and not both"):
            Effort(**settings_)
    with pytest.raises(ConfigError, match=r"share is 1\.5; it must be from 0 to 1"):
        Effort(max_loss=1.5)
