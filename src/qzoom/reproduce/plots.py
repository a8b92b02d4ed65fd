"""Outcomes as pictures: accuracy against tokens, and against questions that look twice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

# Wong's palette: told apart with every kind of colour vision.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")


def plot_stages(rows: Mapping[str, Any], caption: str, target: Path) -> None:
    """Accuracy with its interval over visual tokens of every way of looking; PNG and SVG."""
    figure, axes = _figure()
    for place, (name, row) in enumerate(rows.items()):
        mean, (low, high) = row["accuracy"]["mean"], row["accuracy"]["interval_95"]
        axes.errorbar(
            row["mean_visual_tokens"],
            mean,
            yerr=[[mean - low], [high - mean]],
            color=COLOURS[place % len(COLOURS)],
            marker=MARKERS[place % len(MARKERS)],
            markersize=8,
            capsize=4,
            label=name,
            linestyle="none",
        )
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set_xlabel("visual tokens per question")
    axes.set_ylabel("exact match")
    _finish(figure, axes, caption, target)


def plot_gates(curves: Mapping[str, Any], caption: str, target: Path) -> None:
    """Accuracy over the share of questions that zoom, for every kind of gate label."""
    figure, axes = _figure()
    for place, (name, curve) in enumerate(curves.items()):
        axes.plot(
            [point["zoomed"] for point in curve],
            [point["accuracy"] for point in curve],
            color=COLOURS[place % len(COLOURS)],
            linestyle=("-", "--", ":", "-.")[place % 4],
            linewidth=2,
            label=name,
        )
    axes.set_xlabel("share of questions that look twice")
    axes.set_ylabel("exact match")
    _finish(figure, axes, caption, target)


def _figure() -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.6), layout="constrained")
    return figure, figure.subplots()


def _finish(figure: Any, axes: Any, caption: str, target: Path) -> None:
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    figure.supxlabel(caption, fontsize=8, color="#555555")
    for suffix in (".png", ".svg"):
        figure.savefig(target.with_suffix(suffix), dpi=150)
