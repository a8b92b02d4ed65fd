"""The report of a benchmark as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def table_of(report: Mapping[str, Any]) -> str:
    """Lines that fit a terminal of 100 columns."""
    settings = report["settings"]
    head = (
        f"{settings['shape']}, {settings['parameters'] / 1e9:.2f} B parameters, "
        f"{settings['dtype']}, {settings['attention']}, {settings['hardware']}, "
        f"{settings['threads']} threads, {settings['new_tokens']} new tokens"
    )
    lines = [head, "", _budget_head()]
    lines += [_budget_line(row) for row in report["budgets"]]
    lines += ["", "time of qzoom by that of others, per question", _mix_head()]
    lines += [_mix_line(row, f"{row['questions']} per picture") for row in report["mixes"]]
    lines += [_mix_line(row, f"batch of {row['batch']}") for row in report["batches"]]
    if report["against_largest"]:
        lines += [
            "",
            "questions per second of qzoom by those of plain transformers with more cells",
        ]
        lines += [
            f"  {row['budget']:>5} + {row['roi_cells']} cells, {row['fire_rate']:.0%} zoom, "
            f"{row['questions']} per picture: {row['speed_up']:.2f}x of {row['against_cells']}"
            for row in report["against_largest"]
        ]
    return "\n".join(lines)


def _budget_head() -> str:
    return (
        f"{'cells':>6} {'plain s':>9} {'first tok':>9} {'direct s':>9} {'later s':>9} "
        f"{'roof':>6} {'peak MiB':>9}"
    )


def _budget_line(row: Mapping[str, Any]) -> str:
    median = row["median_s"]
    peak = row["peak_mib"]["ours direct"]
    return (
        f"{row['cells']:>6} {median['plain']:>9.3f} {median['ours direct first token']:>9.3f} "
        f"{median['ours direct']:>9.3f} {median['ours direct later']:>9.3f} "
        f"{row['share_of_roof']['ours direct']:>6.0%} {'-' if peak is None else f'{peak:.0f}':>9}"
    )


def _mix_head() -> str:
    return (
        f"{'cells':>6} {'crop':>5} {'zoom':>5} {'':<15} {'q/s':>8} "
        f"{'plain':>7} {'prefix cache':>13} {'two prefills':>13}"
    )


def _mix_line(row: Mapping[str, Any], what: str) -> str:
    ratios = row["ratio_median_min_max"]

    def shown(name: str) -> str:
        return f"{ratios[name][0]:.3f}" if name in ratios else "-"

    return (
        f"{row['budget']:>6} {row['roi_cells']:>5} {row['fire_rate']:>5.0%} {what:<15} "
        f"{row['questions_per_s']['qzoom']:>8.3f} {shown('plain'):>7} "
        f"{shown('plain, prefix cache'):>13} {shown('two prefills'):>13}"
    )
