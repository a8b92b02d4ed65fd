"""Outcomes as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Outcome = Mapping[str, Any]


def markdown(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """One table under its title."""
    lines = [f"### {title}", "", _line(header), _line(["---"] * len(header))]
    return "\n".join([*lines, *(_line(row) for row in rows), ""])


def stages_table(outcome: Outcome) -> str:
    """Table IV: what each stage adds."""
    header = (
        "model",
        "accuracy",
        "95 %",
        "visual tokens",
        "zoomed",
        "region recall",
        "small print",
        "other",
    )
    rows = [(name, *_measures(row)) for name, row in outcome["rows"].items()]
    return markdown("What each stage adds (Table IV)", header, rows)


def boxes_table(outcome: Outcome) -> str:
    """Tables V and VII: where the boxes come from."""
    header = ("boxes from", "accuracy", "95 %", "region recall")
    rows = [(name, *_accuracy(row), _mean(row["region_recall"])) for name, row in outcome.items()]
    return markdown("Where the boxes come from (Tables V and VII)", header, rows)


def variants_table(title: str, column: str, outcome: Outcome) -> str:
    """Tables VI and VIII: variants of the region network."""
    header = (column, "accuracy", "95 %", "region recall")
    rows = [(name, *_accuracy(row), _mean(row["region_recall"])) for name, row in outcome.items()]
    return markdown(title, header, rows)


def gates_table(outcome: Outcome) -> str:
    """Figure 9 as numbers: what labels make of a gate."""
    header = ("gate labels", "AUROC", "skips at most 1 point below always", "its accuracy")
    rows = [
        (name, f"{row['auroc']:.3f}", f"{row['skipped']:.2f}", f"{row['accuracy']:.3f}")
        for name, row in outcome.items()
    ]
    return markdown("Labels of the gate (Figure 9)", header, rows)


def _measures(row: Outcome) -> tuple[str, ...]:
    return (
        *_accuracy(row),
        f"{row['mean_visual_tokens']:.0f}",
        f"{row['zoomed']:.2f}",
        _mean(row["region_recall"]),
        f"{row['small_print_accuracy']:.3f}",
        f"{row['easy_accuracy']:.3f}",
    )


def _accuracy(row: Outcome) -> tuple[str, str]:
    low, high = row["accuracy"]["interval_95"]
    return f"{row['accuracy']['mean']:.3f}", f"{low:.3f} to {high:.3f}"


def _mean(value: Outcome | None) -> str:
    return "" if value is None else f"{value['mean']:.3f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
