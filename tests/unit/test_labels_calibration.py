"""Temperature, calibration error and AUROC against their definitions."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from qzoom.errors import ConfigError, LabelError
from qzoom.labels.calibration import (
    COLDEST,
    HOTTEST,
    auroc,
    calibration_error,
    fit_temperature,
    mean_log_loss,
    raw_threshold,
    reliability_bins,
)
from qzoom.labels.tristate import IGNORE

# Few values, so that ties are common.
SCORED = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=30)


def split(scored: list[tuple[int, bool]]) -> tuple[Tensor, Tensor]:
    scores = torch.tensor([float(score) for score, _ in scored])
    return scores, torch.tensor([int(label) for _, label in scored])


def drawn(temperature: float, count: int = 20_000) -> tuple[Tensor, Tensor]:
    """Logits that are `temperature` times too sure of themselves."""
    generator = torch.Generator().manual_seed(0)
    true_logits = torch.randn(count, generator=generator, dtype=torch.float64)
    labels = torch.rand(count, generator=generator) < torch.sigmoid(true_logits)
    return temperature * true_logits, labels.long()


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_temperature_is_found(temperature: float) -> None:
    logits, labels = drawn(temperature)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.1)


@settings(max_examples=15)
@given(SCORED)
def test_no_other_temperature_is_better(scored: list[tuple[int, bool]]) -> None:
    logits, labels = split(scored)
    best = fit_temperature(logits, labels)
    assert COLDEST <= best <= HOTTEST
    least = mean_log_loss(logits, labels, best)
    for other in torch.logspace(-2, 2, 21, dtype=torch.float64).tolist():
        assert least <= mean_log_loss(logits, labels, other) + 1e-9


@settings(max_examples=20)
@given(SCORED)
def test_a_temperature_changes_no_ranking(scored: list[tuple[int, bool]]) -> None:
    logits, labels = split(scored)
    best = fit_temperature(logits, labels)
    scaled = logits.double() / best
    assert torch.equal(scaled.argsort(stable=True), logits.argsort(stable=True))
    if 0 < labels.sum() < len(labels):
        assert auroc(scaled, labels) == auroc(logits, labels)


def test_logits_without_a_mistake_or_without_a_clue() -> None:
    logits = torch.tensor([-3.0, -1.0, 1.0, 3.0])
    labels = torch.tensor([0, 0, 1, 1])
    assert fit_temperature(logits, labels) == pytest.approx(COLDEST)
    assert fit_temperature(-logits, labels) == pytest.approx(HOTTEST)
    assert fit_temperature(logits, labels) == fit_temperature(logits, labels)


def test_unlabelled_samples_do_not_count() -> None:
    logits, labels = drawn(2.0, 500)
    more = torch.cat([logits, torch.tensor([math.nan, 9.0])])
    padded = torch.cat([labels, torch.tensor([IGNORE, IGNORE])])
    assert fit_temperature(more, padded) == fit_temperature(logits, labels)


@given(st.floats(0.001, 0.999), st.floats(0.05, 20), st.floats(-30, 30))
def test_a_raw_threshold_routes_the_same(threshold: float, temperature: float, logit: float):
    raw = raw_threshold(threshold, temperature)
    calibrated = 1 / (1 + math.exp(-logit / temperature))
    if abs(calibrated - threshold) > 1e-6 and 0 < raw < 1:
        assert (calibrated >= threshold) == (1 / (1 + math.exp(-logit)) >= raw)
    assert raw_threshold(0.0, temperature) == 0.0
    assert raw_threshold(1.5, temperature) == 1.5


def test_perfect_calibration_has_next_to_no_error() -> None:
    logits, labels = drawn(1.0)
    calibrated = calibration_error(reliability_bins(torch.sigmoid(logits), labels))
    assert calibrated < 0.015
    logits, labels = drawn(4.0)
    over = calibration_error(reliability_bins(torch.sigmoid(logits), labels))
    assert over > 0.1
    scaled = torch.sigmoid(logits / fit_temperature(logits, labels))
    assert calibration_error(reliability_bins(scaled, labels)) < 0.015
    # Exactly: of four samples said to be positive with 0.25, one is.
    quarter = reliability_bins(torch.full((4,), 0.25), torch.tensor([1, 0, 0, 0]), bins=10)
    assert calibration_error(quarter) == 0.0


def test_bins_hold_what_lies_in_them() -> None:
    probabilities = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0])
    bins = reliability_bins(probabilities, torch.tensor([0, 1, 1, 1, 1]), bins=2)
    assert [(b.low, b.high, b.count) for b in bins] == [(0.0, 0.5, 2), (0.5, 1.0, 3)]
    assert bins[0].mean_probability == pytest.approx(0.05)
    assert bins[0].share_positive == 0.5
    assert calibration_error(bins) == pytest.approx(0.4 * 0.45 + 0.6 * 0.2)
    empty = reliability_bins(probabilities[:1], torch.tensor([0]), bins=3)[2]
    assert (empty.count, empty.mean_probability, empty.share_positive) == (0, None, None)


@settings(max_examples=40)
@given(SCORED)
def test_auroc_is_the_share_of_pairs_in_order(scored: list[tuple[int, bool]]) -> None:
    scores, labels = split(scored)
    positive = [score for score, label in scored if label]
    negative = [score for score, label in scored if not label]
    if not positive or not negative:
        with pytest.raises(LabelError, match="the AUROC needs both kinds"):
            auroc(scores, labels)
        return
    wins = sum((p > n) + 0.5 * (p == n) for p in positive for n in negative)
    assert auroc(scores, labels) == wins / (len(positive) * len(negative))


@pytest.mark.parametrize(
    ("values", "labels", "message"),
    [
        ([1.0], [1, 0], r"values have the shape \(1,\), labels \(2,\); give two vectors"),
        ([], [], "no sample has a label"),
        ([1.0], [IGNORE], "no sample has a label"),
        ([math.nan, 0.0], [1, 0], "is not finite"),
        ([1.0, 0.0], [1, 2], "labels must be 0, 1 or -100"),
    ],
)
def test_unusable_samples(values: list[float], labels: list[int], message: str) -> None:
    for measure in (fit_temperature, auroc, reliability_bins):
        with pytest.raises(LabelError, match=message):
            measure(torch.tensor(values), torch.tensor(labels))


def test_values_out_of_range() -> None:
    with pytest.raises(LabelError, match=r"lies outside \[0, 1\]; give sigmoid"):
        reliability_bins(torch.tensor([1.5]), torch.tensor([1]))
    with pytest.raises(ConfigError, match="bins is 0"):
        reliability_bins(torch.tensor([0.5]), torch.tensor([1]), bins=0)
    with pytest.raises(LabelError, match="hold no sample"):
        calibration_error([])
    for act in (mean_log_loss, lambda a, b, c: raw_threshold(0.5, c)):
        with pytest.raises(ConfigError, match="temperature is 0; it must be above 0"):
            act(torch.tensor([0.5]), torch.tensor([1]), 0)
