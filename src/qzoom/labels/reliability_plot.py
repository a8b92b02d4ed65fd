"""The reliability diagram: what the gate says against what is so, with the counts under it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from qzoom.intervals import wilson
from qzoom.labels.calibration_report import CalibrationReport, Reliability
from qzoom.plotting import COLOURS, MARKERS, new_figure, save_figure, tidy

PICTURES: Final = ("reliability.png", "reliability.svg")

_BEFORE: Final = {"color": COLOURS[1], "marker": MARKERS[0]}
_AFTER: Final = {"color": COLOURS[0], "marker": MARKERS[1]}


def save_reliability(report: CalibrationReport, folder: Path) -> None:
    """Write `reliability.png` and `reliability.svg`."""
    save_figure(_draw(report), folder / "reliability")


def _draw(report: CalibrationReport) -> Any:
    figure = new_figure(6, 6.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot((0, 1), (0, 1), color="0.6", linewidth=1, label="calibrated")
    named = (
        (report.before, f"gate: ECE {report.before.ece:.3f}", _BEFORE),
        (
            report.after,
            f"at temperature {report.temperature:.2f}: ECE {report.after.ece:.3f}",
            _AFTER,
        ),
    )
    for place, (reliability, label, style) in enumerate(named):
        _points(upper, reliability, label, style)
        _counts(lower, reliability, place, style["color"])
    upper.set(
        xlim=(-0.02, 1.02),
        ylim=(-0.02, 1.02),
        ylabel="share that a crop mended (95 % interval)",
    )
    title = f"{_labelled(report.before)} held-out questions, AUROC {report.auroc:.3f}"
    figure.legend(loc="outside upper center", ncols=3, frameon=False, title=title)
    lower.set(xlabel="probability that a crop mends the answer", ylabel="questions")
    for axes in (upper, lower):
        tidy(axes)
    return figure


def _points(axes: Any, reliability: Reliability, label: str, style: dict[str, str]) -> None:
    """Shares with their intervals, where a bin holds anything."""
    said, so, below, above = [], [], [], []
    for own in reliability.bins:
        if own.mean_probability is None or own.share_positive is None:
            continue
        low, high = wilson(round(own.share_positive * own.count), own.count)
        said.append(own.mean_probability)
        so.append(own.share_positive)
        below.append(max(0.0, own.share_positive - low))
        above.append(max(0.0, high - own.share_positive))
    form = {"linestyle": "none", "capsize": 2, "markersize": 6, "elinewidth": 1}
    axes.errorbar(said, so, (below, above), label=label, **form, **style)


def _counts(axes: Any, reliability: Reliability, place: int, color: str) -> None:
    """Half a bar's width for each of the two."""
    width = 0.45 / len(reliability.bins)
    lefts = [own.low + (0.05 / len(reliability.bins)) + place * width for own in reliability.bins]
    heights = [own.count for own in reliability.bins]
    axes.bar(lefts, heights, width, align="edge", color=color)


def _labelled(reliability: Reliability) -> int:
    return sum(own.count for own in reliability.bins)
