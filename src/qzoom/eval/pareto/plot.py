"""The figure: score over throughput and over visual tokens, a front for each method."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from qzoom.eval.pareto.matched import DIRECT, Match, front
from qzoom.eval.pareto.paper_panel import draw_published
from qzoom.eval.pareto.point_labels import PointLabel, place_labels
from qzoom.eval.pareto.points import Point, Points
from qzoom.eval.pareto.report import ParetoReport
from qzoom.plotting import CAPTION_COLOUR, COLOURS, MARKERS, new_figure, save_figure, tidy

NAMES: Final = {"direct": "direct", "zoom": "zoom (gate decides)", "always": "zoom always"}
CAPTION_WIDTH: Final = 150
LABEL_SIZE_PT: Final = 8.0
LEGEND_COLUMNS: Final = 6


@dataclass(frozen=True)
class Panel:
    """A cost axis.

    cost: what a point is drawn at; gain: rises as that gets better.
    matched: where direct answers of the same score lie on the axis.
    saved: what a match saves here, in words.
    box_x, box_align: place of the list of savings, in shares of the axes.
    """

    label: str
    base: int
    cost: Callable[[Point], float]
    gain: Callable[[Point], float]
    matched: Callable[[Match], float]
    saved: Callable[[Match], str]
    box_x: float
    box_align: str


RATE: Final = Panel(
    "samples per second (log scale)",
    10,
    lambda point: point.samples_per_s,
    lambda point: point.samples_per_s,
    lambda found: found.direct_samples_per_s,
    lambda found: f"{found.speed_up:>5.2f}x throughput",
    0.03,
    "left",
)
TOKENS: Final = Panel(
    "visual tokens per sample (log scale)",
    2,
    lambda point: point.visual_tokens,
    lambda point: -point.visual_tokens,
    lambda found: found.direct_visual_tokens,
    lambda found: f"{-found.fewer_tokens:>+5.0%} tokens",
    0.97,
    "right",
)


def plot_pareto(report: ParetoReport, title: str, target: Path, *, paper: bool) -> None:
    """Write `target` as PNG and SVG.

    Args:
        title: of the benchmark.
        paper: add a panel with the ratios that the paper publishes.

    Raises:
        ConfigError: when matplotlib is not installed.
    """
    figure = new_figure(11, 8.2 if paper else 6)
    upper, lower = figure.subfigures(2, 1, height_ratios=(6, 2.2)) if paper else (figure, None)
    left, right = upper.subplots(1, 2, sharey=True)
    for axes, panel in ((left, RATE), (right, TOKENS)):
        _draw(axes, panel, report)
    left.set_ylabel("mean score (95 % interval)")
    upper.legend(
        *left.get_legend_handles_labels(), loc="outside upper center", frameon=False,
        ncols=min(LEGEND_COLUMNS, len(report.points.methods)),
        title=f"{title}, {report.points.model}; numbers are budgets in cells",
    )  # fmt: skip
    if lower is not None:
        names = {NAMES.get(m, m): report.at_peak.get(m) for m in _others(report.points)}
        styles = {NAMES.get(m, m): _style(report.points, m) for m in report.points.methods}
        draw_published(lower.subplots(), names, styles)
    caption = textwrap.fill(caption_of(report.points), CAPTION_WIDTH)
    (lower or upper).supxlabel(caption, fontsize=8, color=CAPTION_COLOUR)
    figure.draw_without_rendering()  # labels need the final layout
    for axes, panel in ((left, RATE), (right, TOKENS)):
        _label_points(axes, panel, report)
    save_figure(figure, target)


def caption_of(points: Points) -> str:
    """Samples, hardware, type, kernel and batch, and what times leave out."""
    score = points.points[0].score
    said = {name: " / ".join(map(str, values)) for name, values in points.run.items()}
    parts = [
        f"{score.samples} samples of {score.clusters} pictures, scored as {points.scoring}, "
        "intervals bootstrapped over pictures",
        *(said[name] for name in ("hardware", "device", "dtype", "attention") if said.get(name)),
        *(f"{name} {said[name]}" for name in ("batch", "threads") if said.get(name)),
        "times without decoding the picture; hollow: not on the method's front",
    ]
    return ", ".join(parts) + "."


def compared(report: ParetoReport) -> list[Match]:
    """The matches that the figure lists, those of one method, by rising budget."""
    others = _others(report.points)
    method = "zoom" if "zoom" in others else next(iter(others), None)
    found = [match for match in report.matched if match.method == method]
    return sorted(found, key=lambda match: match.max_cells)


def _others(points: Points) -> list[str]:
    return [method for method in points.methods if method != DIRECT]


def _style(points: Points, method: str) -> tuple[str, str]:
    place = points.methods.index(method)
    return COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]


def _line(points: Points, method: str) -> str:
    """Dashed where a colour comes again."""
    return "-" if points.methods.index(method) < len(COLOURS) else "--"


def _draw(axes: Any, panel: Panel, report: ParetoReport) -> None:
    points = report.points
    for method in points.methods:
        own = points.of_method(method)
        best = front(own, panel.gain)
        colour, marker = _style(points, method)
        line = {"color": colour, "linewidth": 1.8, "linestyle": _line(points, method)}
        axes.plot(*zip(*_places(best, panel), strict=True), **line)
        for point in own:
            _point(axes, panel, point, colour, marker, hollow=point not in best)
        # One handle for the legend; the points have their own faces.
        name = NAMES.get(method, method)
        axes.plot([], [], marker=marker, markersize=7, label=name, **line)
    axes.set_xscale("log", base=panel.base)
    axes.margins(x=0.09, y=0.07)
    _plain_ticks(axes, panel)
    axes.set_xlabel(panel.label)
    tidy(axes)
    if found := compared(report):
        _savings(axes, panel, points, found)


def _point(
    axes: Any, panel: Panel, point: Point, colour: str, marker: str, *, hollow: bool
) -> None:
    score = point.score
    axes.errorbar(
        panel.cost(point),
        score.mean,
        yerr=[[max(0.0, score.mean - score.low)], [max(0.0, score.high - score.mean)]],
        color=colour,
        ecolor=(colour, 0.45),
        marker=marker,
        markersize=7,
        markerfacecolor="white" if hollow else colour,
        elinewidth=0.9,
        capsize=2,
        linestyle="none",
    )


def _savings(axes: Any, panel: Panel, points: Points, found: Sequence[Match]) -> None:
    """An arrow from direct answers as good to the smallest budget's point; a list of all."""
    first = found[0]
    start, end = _arrow(panel, points, first)
    axes.annotate(
        "", end, xytext=start, zorder=4,
        arrowprops={"arrowstyle": "-|>", "color": "0.25", "linewidth": 1, "linestyle": (0, (4, 2)),
                    "shrinkA": 0, "shrinkB": 5},
    )  # fmt: skip
    lines = [
        f"{each.max_cells:>5} cells {panel.saved(each)}{'' if each.reached else ' *'}"
        for each in found
    ]
    head = [f"{first.method} against direct of", "the same score (arrow: first):"]
    unreached = ["* direct at its best, not as good"] if not all(e.reached for e in found) else []
    axes.text(
        panel.box_x, 0.03, "\n".join(head + lines + unreached), transform=axes.transAxes,
        ha=panel.box_align, va="bottom", multialignment="left", fontsize=8, family="monospace",
        bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": "0.8"},
    )  # fmt: skip


def _arrow(panel: Panel, points: Points, found: Match) -> list[tuple[float, float]]:
    """From the matching place of the direct curve to the point."""
    point = next(p for p in points.points if p.key == (found.method, found.max_cells))
    return [(panel.matched(found), found.direct_score), (panel.cost(point), found.score)]


def _label_points(axes: Any, panel: Panel, report: ParetoReport) -> None:
    points, labels, lines = report.points, [], []
    for method in points.methods:
        own = points.of_method(method)
        colour, _ = _style(points, method)
        for point, place in zip(own, _places(own, panel), strict=True):
            labels.append(PointLabel(str(point.key.max_cells), place, colour))
            lines.append([(place[0], point.score.low), (place[0], point.score.high)])
        best = _places(front(own, panel.gain), panel)
        lines += [best] if len(best) > 1 else []
    if found := compared(report):
        lines.append(_arrow(panel, points, found[0]))
    place_labels(axes, labels, lines, LABEL_SIZE_PT)


def _plain_ticks(axes: Any, panel: Panel) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    subs = (1.0, 2.0, 5.0) if panel.base == 10 else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(base=panel.base, subs=subs))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def _places(points: Sequence[Point], panel: Panel) -> list[tuple[float, float]]:
    return [(panel.cost(point), point.score.mean) for point in points]
