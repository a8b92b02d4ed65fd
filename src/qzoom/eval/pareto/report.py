"""Rows of points as a table, a list of what they save, and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from qzoom.eval.benchmarks.registry import benchmark_of
from qzoom.eval.pareto.matched import DIRECT, Match, at_peak, front, match
from qzoom.eval.pareto.points import Point, Points, read_points, write_csv
from qzoom.eval.pareto.run import PointKey
from qzoom.labels.jsonl import write_json

FIGURE: Final = "pareto"


@dataclass(frozen=True)
class ParetoReport:
    """Points and what they save.

    matched: every point of other methods against direct answers that are as good.
    at_peak: by method, its cheapest point that is as good as direct answers get.
    """

    points: Points
    matched: tuple[Match, ...]
    at_peak: dict[str, Match]

    def to_json(self) -> dict[str, Any]:
        """All figures."""
        points = self.points
        by_rate = {p.key for m in points.methods for p in front(points.of_method(m), _rate)}
        return {
            "benchmark": points.benchmark,
            "scoring": points.scoring,
            "model": points.model,
            "run": dict(points.run),
            "left_out": points.left_out,
            "points": [p.to_json() | {"on_front": p.key in by_rate} for p in points.points],
            "matched": [found.to_json() for found in self.matched],
            "at_direct_peak": {name: found.to_json() for name, found in self.at_peak.items()},
        }


def report_of(points: Points) -> ParetoReport:
    """What the points save; nothing where there are no direct answers to compare with."""
    direct = points.of_method(DIRECT)
    others = [method for method in points.methods if method != DIRECT] if direct else []
    matched = [match(point, direct) for method in others for point in points.of_method(method)]
    peaks = {method: at_peak(points.of_method(method), direct) for method in others}
    found = {method: peak for method, peak in peaks.items() if peak is not None}
    return ParetoReport(points, tuple(matched), found)


def write_report(folder: Path, keys: Sequence[PointKey], *, paper: bool = False) -> ParetoReport:
    """Write points.csv, points.json, pareto.png and pareto.svg from the rows in a folder.

    Args:
        paper: draw the published ratios in a panel of their own.

    Raises:
        ConfigError: when matplotlib is not installed.
        DataError: as `read_points`.
    """
    from qzoom.eval.pareto.plot import plot_pareto

    report = report_of(read_points(folder, keys))
    write_csv(report.points.points, folder / "points.csv")
    write_json(folder / "points.json", report.to_json())
    title = benchmark_of(report.points.benchmark).title
    plot_pareto(report, title, folder / FIGURE, paper=paper)
    return report


def _rate(point: Point) -> float:
    return point.samples_per_s
