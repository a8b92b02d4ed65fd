"""Outcomes as pictures: accuracy against tokens, and against questions that look twice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qzoom.plotting import CAPTION_COLOUR, COLOURS, MARKERS, new_figure, save_figure, tidy


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
    figure = new_figure(7, 4.6)
    return figure, figure.subplots()


def _finish(figure: Any, axes: Any, caption: str, target: Path) -> None:
    tidy(axes)
    axes.legend(frameon=False, fontsize=9)
    figure.supxlabel(caption, fontsize=8, color=CAPTION_COLOUR)
    save_figure(figure, target)
