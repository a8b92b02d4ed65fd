"""The paper's ratios beside our own, on an axis of ratios: machine and benchmarks are others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from qzoom.eval.pareto.matched import Match
from qzoom.eval.pareto.paper import PUBLISHED
from qzoom.plotting import tidy


class Bar(NamedTuple):
    """A ratio; `fewer_tokens` is a share, None where nothing was as good."""

    name: str
    speed_up: float
    fewer_tokens: float | None
    colour: str
    marker: str


def draw_published(axes: Any, own: Mapping[str, Match | None], styles: Mapping[str, Any]) -> None:
    """Throughput of the fastest point that is as good as direct answers get, over theirs.

    Args:
        own: by label of the method; None where no point of it is as good.
        styles: colour and marker by label.
    """
    bars = [_own(label, found, *styles[label]) for label, found in own.items()]
    bars += [Bar(e.name, e.speed_up, e.fewer_tokens, "0.55", "o") for e in PUBLISHED]
    right = max(1.0, *(bar.speed_up for bar in bars))
    left = min(1.0, *(bar.speed_up for bar in bars))
    for height, bar in enumerate(reversed(bars)):
        axes.plot([1, bar.speed_up], [height, height], color=bar.colour, linewidth=1.5)
        if bar.fewer_tokens is not None:
            axes.plot(bar.speed_up, height, color=bar.colour, marker=bar.marker)
        axes.annotate(
            _said(bar), (max(1.0, bar.speed_up), height), xytext=(9, -3),
            textcoords="offset points", fontsize=8,
        )  # fmt: skip
    axes.set_yticks(range(len(bars)), [bar.name for bar in reversed(bars)], fontsize=8)
    axes.set_ylim(-0.7, len(bars) - 0.3)
    axes.set_xscale("log", base=2)
    # Room for the texts beside the longest bar.
    axes.set_xlim(left / 1.15, right * 1.8)
    axes.xaxis.set_major_formatter("{x:g}x")
    axes.axvline(1, color="0.4", linewidth=0.8)
    axes.set_xlabel(
        "throughput of the fastest point that is as good as direct answers at their best, "
        "relative to theirs (paper: other hardware, relative throughput)",
        fontsize=8.5,
    )
    tidy(axes)


def _own(label: str, found: Match | None, colour: str, marker: str) -> Bar:
    name = f"here, {label}"
    if found is None:
        return Bar(name, 1.0, None, colour, marker)
    return Bar(name, found.speed_up, found.fewer_tokens, colour, marker)


def _said(bar: Bar) -> str:
    if bar.fewer_tokens is None:
        return "no point is as good"
    more_or_fewer = "fewer" if bar.fewer_tokens >= 0 else "more"
    return f"{bar.speed_up:.2f}x, {abs(bar.fewer_tokens):.0%} {more_or_fewer} tokens"
