"""The figure: score over throughput and over visual tokens, a front for each method."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from qzoom.eval.pareto.matched import DIRECT, Match, front, match
from qzoom.eval.pareto.paper import PUBLISHED
from qzoom.eval.pareto.points import Point, Points
from qzoom.eval.pareto.report import ParetoReport
from qzoom.plotting import CAPTION_COLOUR, COLOURS, MARKERS, new_figure, save_figure, tidy

NAMES: Final = {"direct": "direct", "zoom": "zoom (gate decides)", "always": "zoom always"}
# Budgets stand beside their points, each method's on a side of its own: x, y in points, alignment.
SIDES: Final = ((7, -11, "left"), (-7, 6, "right"), (7, 6, "left"), (-7, -11, "right"))
CAPTION_WIDTH: Final = 150


@dataclass(frozen=True)
class Panel:
    """A cost axis.

    cost: what a point is drawn at; gain: rises as that gets better.
    matched: where direct answers of the same score lie on the axis.
    """

    label: str
    base: int
    cost: Callable[[Point], float]
    gain: Callable[[Point], float]
    matched: Callable[[Match], float]


RATE: Final = Panel(
    "samples per second (log scale)",
    10,
    lambda point: point.samples_per_s,
    lambda point: point.samples_per_s,
    lambda found: found.direct_samples_per_s,
)
TOKENS: Final = Panel(
    "visual tokens per sample (log scale)",
    2,
    lambda point: point.visual_tokens,
    lambda point: -point.visual_tokens,
    lambda found: found.direct_visual_tokens,
)


def plot_pareto(report: ParetoReport, title: str, target: Path, *, paper: bool) -> None:
    """Write `target` as PNG and SVG.

    Args:
        title: of the benchmark.
        paper: add a panel with the ratios that the paper publishes.

    Raises:
        ConfigError: when matplotlib is not installed.
    """
    rows = [["rate", "tokens"], ["paper", "paper"]] if paper else [["rate", "tokens"]]
    heights = (3, 1.3) if paper else (1,)
    figure = new_figure(11, 7.2 if paper else 5.2)
    panels = figure.subplot_mosaic(rows, height_ratios=heights)
    panels["tokens"].sharey(panels["rate"])
    for name, panel in (("rate", RATE), ("tokens", TOKENS)):
        _draw(panels[name], panel, report.points)
        if (found := call_out(report)) is not None:
            _call_out(panels[name], panel, report.points, found)
    panels["rate"].set_ylabel("mean score (95 % interval)")
    panels["tokens"].tick_params(labelleft=False)
    if paper:
        _published(panels["paper"], report)
    handles, names = panels["rate"].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside upper center", ncols=len(names), frameon=False,
        title=f"{title}, {report.points.model}; numbers are budgets in cells",
    )  # fmt: skip
    caption = textwrap.fill(caption_of(report.points), CAPTION_WIDTH)
    figure.supxlabel(caption, fontsize=8, color=CAPTION_COLOUR)
    save_figure(figure, target)


def call_out(report: ParetoReport) -> Match | None:
    """The saving that the figure points at: at direct answers' best, or of the best point."""
    others = [method for method in report.points.methods if method != DIRECT]
    direct = report.points.of_method(DIRECT)
    if not others or not direct:
        return None
    method = "zoom" if "zoom" in others else others[0]
    if method in report.at_peak:
        return report.at_peak[method]
    best = max(report.points.of_method(method), key=lambda point: point.score.mean)
    return match(best, direct)


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


def _draw(axes: Any, panel: Panel, points: Points) -> None:
    for place, method in enumerate(points.methods):
        own = points.of_method(method)
        best = front(own, panel.gain)
        colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
        axes.plot(*_coordinates(best, panel), color=colour, linewidth=1.8)
        for point in own:
            _point(axes, panel, point, colour, marker, hollow=point not in best)
            _budget(axes, panel, point, colour, SIDES[place % len(SIDES)])
        # One handle for the legend; the points have their own faces.
        name = NAMES.get(method, method)
        axes.plot([], [], color=colour, marker=marker, linewidth=1.8, markersize=7, label=name)
    axes.set_xscale("log", base=panel.base)
    axes.margins(x=0.09, y=0.1)
    _plain_ticks(axes, panel)
    axes.set_xlabel(panel.label)
    tidy(axes)


def _point(
    axes: Any, panel: Panel, point: Point, colour: str, marker: str, *, hollow: bool
) -> None:
    score = point.score
    axes.errorbar(
        panel.cost(point),
        score.mean,
        yerr=[[max(0.0, score.mean - score.low)], [max(0.0, score.high - score.mean)]],
        color=colour,
        marker=marker,
        markersize=7,
        markerfacecolor="white" if hollow else colour,
        elinewidth=0.8,
        capsize=2,
        linestyle="none",
    )


def _budget(axes: Any, panel: Panel, point: Point, colour: str, side: tuple[int, int, str]) -> None:
    x, y, alignment = side
    axes.annotate(
        str(point.key.max_cells),
        (panel.cost(point), point.score.mean),
        xytext=(x, y),
        textcoords="offset points",
        ha=alignment,
        fontsize=7.5,
        color=colour,
    )


def _plain_ticks(axes: Any, panel: Panel) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    subs = (1.0, 2.0, 5.0) if panel.base == 10 else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(base=panel.base, subs=subs))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def _call_out(axes: Any, panel: Panel, points: Points, found: Match) -> None:
    """An arrow from direct answers as good, or from their best, to the point."""
    point = next(p for p in points.points if p.key == (found.method, found.max_cells))
    start = (panel.matched(found), found.direct_score)
    end = (panel.cost(point), point.score.mean)
    axes.annotate(
        "", end, xytext=start,
        arrowprops={"arrowstyle": "-|>", "color": "black", "linewidth": 1.2, "shrinkB": 6},
    )  # fmt: skip
    axes.annotate(
        saving(found),
        (panel.matched(found), found.direct_score),
        xytext=(0.5, 0.05),
        textcoords="axes fraction",
        ha="center",
        fontsize=9,
        arrowprops={"arrowstyle": "-", "color": "0.6", "linewidth": 0.8, "linestyle": ":"},
        bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": "0.8"},
    )


def saving(found: Match) -> str:
    """The saving as a sentence of the figure."""
    against = "direct of the same score" if found.reached else "direct at its best, which is lower"
    tokens = f"{abs(found.fewer_tokens):.0%} {'fewer' if found.fewer_tokens >= 0 else 'more'}"
    return (
        f"{found.method}, {found.max_cells} cells, against {against}:\n"
        f"{found.speed_up:.2f} times the throughput, {tokens} visual tokens"
    )


def _published(axes: Any, report: ParetoReport) -> None:
    """Ratios on an axis of their own: the paper's machine and benchmarks are others."""
    own = [
        (f"here, {NAMES.get(name, name)}", found.speed_up, found.fewer_tokens, place)
        for place, name in enumerate(report.points.methods)
        if (found := report.at_peak.get(name)) is not None
    ]
    bars = [*own, *((each.name, each.speed_up, each.fewer_tokens, None) for each in PUBLISHED)]
    for height, (_, speed_up, fewer, place) in enumerate(reversed(bars)):
        colour = "0.6" if place is None else COLOURS[place % len(COLOURS)]
        axes.plot([1, speed_up], [height, height], color=colour, linewidth=1.5)
        axes.plot(speed_up, height, color=colour, marker="o" if place is None else MARKERS[place])
        axes.annotate(
            f"{speed_up:.2f}x, {fewer:.0%} fewer tokens", (speed_up, height), xytext=(8, -3),
            textcoords="offset points", fontsize=8,
        )  # fmt: skip
    axes.set_yticks(range(len(bars)), [name for name, *_ in reversed(bars)], fontsize=8)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}x")
    axes.margins(x=0.2, y=0.15)
    axes.axvline(1, color="0.4", linewidth=0.8)
    axes.set_xlabel(
        "throughput relative to direct answers at their best score, of the fastest point as good "
        "(paper: other hardware, relative throughput)"
    )
    tidy(axes)


def _coordinates(points: Sequence[Point], panel: Panel) -> tuple[list[float], list[float]]:
    return [panel.cost(point) for point in points], [point.score.mean for point in points]
