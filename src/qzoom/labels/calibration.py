"""Whether a gate's probabilities mean what they say, and one temperature that makes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from qzoom.errors import ConfigError, LabelError
from qzoom.labels.tristate import IGNORE

_GOLDEN: Final = (math.sqrt(5) - 1) / 2
COLDEST: Final = 1e-2
HOTTEST: Final = 1e2


def fit_temperature(logits_b: Tensor, labels_b: Tensor) -> float:
    """The temperature that makes held-out labels most likely: `sigmoid(logit / temperature)`.

    Golden-section search over the logarithm, in float64; the loss is convex in 1 / temperature, so
    it has one valley. The answer stays between `COLDEST` and `HOTTEST`: labels that the logits
    tell apart without a mistake give the first, logits that say the opposite the last.

    Args:
        logits_b: Raw outputs of the gate, of shape `(B,)`.
        labels_b: 1, 0 or `IGNORE`, of the same shape.

    Raises:
        LabelError: If shapes differ, a logit is not finite, a label is unknown or none is left.
    """
    logits, labels = _known(logits_b, labels_b)

    def loss(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        return float(F.binary_cross_entropy_with_logits(scaled, labels))

    low, high = math.log(COLDEST), math.log(HOTTEST)
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    left_loss, right_loss = loss(left), loss(right)
    while high - low > 1e-9:
        if left_loss <= right_loss:
            high, right, right_loss = right, left, left_loss
            left = high - _GOLDEN * (high - low)
            left_loss = loss(left)
        else:
            low, left, left_loss = left, right, right_loss
            right = low + _GOLDEN * (high - low)
            right_loss = loss(right)
    return math.exp((low + high) / 2)


def logits_of(probabilities_b: Tensor) -> Tensor:
    """The logits behind sigmoids, float64; those that float32 rounded to 0 or 1 stay finite."""
    return torch.logit(probabilities_b.double(), eps=1e-7)


def mean_log_loss(logits_b: Tensor, labels_b: Tensor, temperature: float = 1.0) -> float:
    """Mean binary cross-entropy under a temperature, in float64."""
    if not temperature > 0:
        raise ConfigError(f"the temperature is {temperature}; it must be above 0")
    logits, labels = _known(logits_b, labels_b)
    return float(F.binary_cross_entropy_with_logits(logits / temperature, labels))


def raw_threshold(threshold: float, temperature: float) -> float:
    """The threshold on the model's own probability that a calibrated threshold comes to.

    Zooming where `sigmoid(logit / temperature) >= threshold` is zooming where `sigmoid(logit)` is
    at least this, so a checkpoint needs no temperature of its own.

    Raises:
        ConfigError: If the temperature is not above 0.
    """
    if not temperature > 0:
        raise ConfigError(f"the temperature is {temperature}; it must be above 0")
    if not 0 < threshold < 1:
        return threshold
    logit = math.log(threshold) - math.log1p(-threshold)
    return float(torch.sigmoid(torch.tensor(logit * temperature, dtype=torch.float64)))


@dataclass(frozen=True)
class ReliabilityBin:
    """Samples whose probability lies in [low, high), the last bin's upper end included."""

    low: float
    high: float
    count: int
    mean_probability: float | None
    share_positive: float | None


def reliability_bins(
    probabilities_b: Tensor, labels_b: Tensor, bins: int = 15
) -> list[ReliabilityBin]:
    """What was said against what was so, in bins of equal width; empty ones hold None.

    Raises:
        ConfigError: If there is no bin.
        LabelError: If a probability lies outside [0, 1], or as `fit_temperature`.
    """
    if bins < 1:
        raise ConfigError(f"bins is {bins}; it must be at least 1")
    probabilities, labels = _known(probabilities_b, labels_b)
    if bool(((probabilities < 0) | (probabilities > 1)).any()):
        raise LabelError("a probability lies outside [0, 1]; give sigmoid(logits)")
    place = (probabilities * bins).long().clamp(max=bins - 1)
    counts = torch.bincount(place, minlength=bins).tolist()
    said = torch.bincount(place, probabilities, minlength=bins).tolist()
    so = torch.bincount(place, labels, minlength=bins).tolist()
    return [
        ReliabilityBin(
            low=index / bins,
            high=(index + 1) / bins,
            count=count,
            mean_probability=said[index] / count if count else None,
            share_positive=so[index] / count if count else None,
        )
        for index, count in enumerate(counts)
    ]


def calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Expected calibration error: mean gap of the bins, weighted by what they hold.

    Raises:
        LabelError: If the bins hold nothing.
    """
    total = sum(own.count for own in bins)
    if total == 0:
        raise LabelError("the bins hold no sample; there is no calibration error of nothing")
    gaps = (
        own.count * abs(own.mean_probability - own.share_positive)
        for own in bins
        if own.mean_probability is not None and own.share_positive is not None
    )
    return sum(gaps) / total


def auroc(scores_b: Tensor, labels_b: Tensor) -> float:
    """Chance that a positive scores above a negative, ties counting half; exact.

    Raises:
        LabelError: If either label is missing, or as `fit_temperature`.
    """
    scores, labels = _known(scores_b, labels_b)
    _, place = torch.unique(scores, return_inverse=True)
    positive = torch.bincount(place, labels).long()
    negative = torch.bincount(place, 1 - labels).long()
    pairs = int(positive.sum()) * int(negative.sum())
    if pairs == 0:
        raise LabelError("all labels are the same; the AUROC needs both kinds")
    below = negative.cumsum(0) - negative
    doubled = int((positive * (2 * below + negative)).sum())
    return doubled / (2 * pairs)


def _known(values_b: Tensor, labels_b: Tensor) -> tuple[Tensor, Tensor]:
    """Labelled samples in float64 on the CPU."""
    if values_b.shape != labels_b.shape or values_b.dim() != 1:
        raise LabelError(
            f"values have the shape {tuple(values_b.shape)}, labels {tuple(labels_b.shape)}; give "
            "two vectors of one length"
        )
    labels = labels_b.detach().cpu().double()
    known = labels != IGNORE
    values, labels = values_b.detach().cpu().double()[known], labels[known]
    if not len(labels):
        raise LabelError("no sample has a label")
    if not bool(values.isfinite().all()):
        raise LabelError("a logit or probability is not finite")
    if not bool(((labels == 0) | (labels == 1)).all()):
        raise LabelError(f"labels must be 0, 1 or {IGNORE}")
    return values, labels
