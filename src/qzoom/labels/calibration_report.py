"""What a gate's probabilities are worth on held-out questions, and the levels of effort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from qzoom.errors import LabelError
from qzoom.labels.calibration import (
    ReliabilityBin,
    auroc,
    calibration_error,
    fit_temperature,
    logits_of,
    mean_log_loss,
    raw_threshold,
    reliability_bins,
)
from qzoom.labels.gate_samples import crop_fix_label
from qzoom.labels.operating_points import (
    OperatingPoint,
    RoutedOutcome,
    choose_operating_points,
    operating_curve,
)


@dataclass(frozen=True)
class Reliability:
    """Said against so, under one temperature: bins, expected calibration error, mean log loss."""

    bins: tuple[ReliabilityBin, ...]
    ece: float
    log_loss: float


@dataclass(frozen=True)
class CalibrationReport:
    """Counts of held-out questions, the gate's figures on those with a crop-fix label, and points.

    auroc: chance that the gate scores a question that a crop mends above one that is right
    directly; before, after: reliability without and with the temperature; levels: operating point
    of each level of effort; never, always: those of not zooming and of zooming always.
    """

    counts: Mapping[str, int]
    auroc: float
    temperature: float
    before: Reliability
    after: Reliability
    levels: Mapping[str, OperatingPoint]
    never: OperatingPoint
    always: OperatingPoint

    @property
    def thresholds(self) -> dict[str, float]:
        """Threshold of each level on the gate's own probability."""
        return {level: point.threshold for level, point in self.levels.items()}

    def to_json(self) -> dict[str, Any]:
        """Everything by name; each level also with its threshold on the calibrated probability."""
        points = {"never": self.never, **self.levels, "always": self.always}
        calibrated = {
            name: raw_threshold(point.threshold, 1 / self.temperature)
            for name, point in points.items()
        }
        return {
            "counts": dict(self.counts),
            "auroc": self.auroc,
            "temperature": self.temperature,
            "before_temperature": asdict(self.before),
            "after_temperature": asdict(self.after),
            "operating_points": {
                name: point.to_json() | {"calibrated_threshold": calibrated[name]}
                for name, point in points.items()
            },
        }


def calibration_report(outcomes: Sequence[RoutedOutcome], bins: int = 15) -> CalibrationReport:
    """Fit the temperature on the crop-fix labels and choose a threshold for each level.

    Raises:
        LabelError: If no question is mended by a crop, or none is right directly.
    """
    labels = [crop_fix_label(one.direct_right, one.zoom_right) for one in outcomes]
    counts = _counts(outcomes, labels)
    if not counts["direct_right"] or not counts["mended"]:
        raise LabelError(
            f"of {len(outcomes)} questions {counts['direct_right']} are right directly and "
            f"{counts['mended']} are mended by a crop; calibration needs both kinds"
        )
    labels_b = torch.tensor(labels)
    probabilities_b = torch.tensor([one.probability for one in outcomes], dtype=torch.float64)
    logits_b = logits_of(probabilities_b)
    temperature = fit_temperature(logits_b, labels_b)

    def reliability(temperature: float) -> Reliability:
        found = reliability_bins((logits_b / temperature).sigmoid(), labels_b, bins)
        loss = mean_log_loss(logits_b, labels_b, temperature)
        return Reliability(tuple(found), calibration_error(found), loss)

    curve = operating_curve(outcomes)
    return CalibrationReport(
        counts=counts,
        auroc=auroc(probabilities_b, labels_b),
        temperature=temperature,
        before=reliability(1.0),
        after=reliability(temperature),
        levels=choose_operating_points(outcomes),
        never=curve[0],
        always=curve[-1],
    )


def _counts(outcomes: Sequence[RoutedOutcome], labels: Sequence[int]) -> dict[str, int]:
    return {
        "questions": len(outcomes),
        "direct_right": sum(one.direct_right for one in outcomes),
        "zoom_right": sum(one.zoom_right for one in outcomes),
        "mended": labels.count(1),
        "spoiled": sum(one.direct_right and not one.zoom_right for one in outcomes),
        "neither_right": sum(not (one.direct_right or one.zoom_right) for one in outcomes),
    }
