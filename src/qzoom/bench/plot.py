"""The report of a benchmark as a picture: seconds per question of every contender by budget."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

# Wong's palette: told apart with every kind of colour vision.
_BARS: Final = {
    "plain": ("#000000", ""),
    "plain, prefix cache": ("#56B4E9", "//"),
    "two prefills": ("#E69F00", ".."),
    "qzoom": ("#0072B2", ""),
}


def plot_report(report: Mapping[str, Any], target: Path) -> None:
    """One panel for each number of questions per picture; the first fire rate and crop size."""
    from matplotlib.figure import Figure

    mixes = report["mixes"]
    first = mixes[0]
    chosen = [m for m in mixes if all(m[k] == first[k] for k in ("roi_cells", "fire_rate"))]
    counts = sorted({mix["questions"] for mix in chosen})
    figure = Figure(figsize=(3.6 * len(counts) + 1, 4.4), layout="constrained")
    panels = figure.subplots(1, len(counts), squeeze=False)[0]
    for axes, count in zip(panels, counts, strict=True):
        rows = [mix for mix in chosen if mix["questions"] == count]
        for place, (name, (colour, hatch)) in enumerate(_BARS.items()):
            at = [index + (place - 1.5) * 0.2 for index in range(len(rows))]
            bars = axes.bar(
                at,
                [row["seconds_per_question"][name] for row in rows],
                width=0.19,
                label=name,
                color=colour,
                hatch=hatch,
                edgecolor="white",
            )
            if name == "qzoom":
                labels = [f"{row['ratio_median_min_max']['plain'][0]:.2f}x" for row in rows]
                axes.bar_label(bars, labels, fontsize=8, padding=2)
        axes.set_xticks(range(len(rows)), [str(row["budget"]) for row in rows])
        axes.set_xlabel("cells of the picture at most")
        axes.set_title(f"{count} question{'s' if count > 1 else ''} per picture", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("seconds per question")
    panels[0].legend(frameon=False, fontsize=8, loc="upper left")
    figure.suptitle(_caption(report, first), fontsize=8)
    figure.savefig(target, dpi=150)


def _caption(report: Mapping[str, Any], mix: Mapping[str, Any]) -> str:
    settings = report["settings"]
    return (
        f"{settings['shape']} ({settings['parameters'] / 1e9:.2f} B, random weights), "
        f"{mix['fire_rate']:.0%} zoom into {mix['roi_cells']} cells, batch 1, "
        f"{settings['new_tokens']} new tokens, {settings['dtype']}, {settings['attention']}\n"
        f"{settings['hardware']}, {settings['threads']} threads; "
        "labels: time of qzoom by that of plain transformers"
    )
