"""What a mix of questions costs: some zoom, some come later about the same picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from qzoom.bench.measure import BenchPlan, Measured

Seconds = Mapping[str, Sequence[float]]


def mix_of(
    seconds: Seconds, roi_cells: int, fire_rate: float, questions: int
) -> dict[str, list[float]]:
    """Seconds per question of every contender, by turn, from the times of its kinds of questions.

    "two prefills" decides for nothing where it does not zoom.
    """
    turns = range(len(seconds["plain"]))

    def per_question(first: Sequence[float], later: Sequence[float]) -> list[float]:
        return [(a + (questions - 1) * b) / questions for a, b in zip(first, later, strict=True)]

    def blended(direct: str, zoomed: str) -> list[float]:
        return [
            (1 - fire_rate) * seconds[direct][turn] + fire_rate * seconds[zoomed][turn]
            for turn in turns
        ]

    ours = blended("ours direct", f"ours zoomed {roi_cells}")
    later = blended("ours direct later", f"ours zoomed later {roi_cells}")
    return {
        "plain": list(seconds["plain"]),
        "plain, prefix cache": per_question(seconds["plain"], seconds["plain later"]),
        "two prefills": blended("plain", f"two prefills {roi_cells}"),
        "qzoom": per_question(ours, later),
    }


def mixes_of(measured: Measured, plan: BenchPlan) -> list[dict[str, Any]]:
    """Every mix of a budget, with the ratios of qzoom to the others."""
    found = []
    for roi_cells in plan.roi_cells:
        for fire_rate in plan.fire_rates:
            for questions in plan.questions:
                seconds = mix_of(measured.seconds, roi_cells, fire_rate, questions)
                named: dict[str, Any] = {"budget": measured.budget, "roi_cells": roi_cells}
                named |= {"fire_rate": fire_rate, "questions": questions}
                found.append(named | _compared(seconds, plan.new_tokens))
    return found


def batch_summary(measured: Mapping[str, Any], new_tokens: int) -> dict[str, Any]:
    """A batch's times as seconds per question, with ratios."""
    size = measured["batch"]
    per = {name: [s / size for s in runs] for name, runs in measured["seconds"].items()}
    per["qzoom"] = per.pop("ours")
    return {k: v for k, v in measured.items() if k != "seconds"} | _compared(per, new_tokens)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Median, least and greatest quotient of the turns."""
    each = [a / b for a, b in zip(ours, theirs, strict=True)]
    return [round(value, 4) for value in (median(each), min(each), max(each))]


def _compared(seconds: dict[str, list[float]], new_tokens: int) -> dict[str, Any]:
    others = [name for name in seconds if name != "qzoom"]
    return {
        "seconds_per_question": {name: round(median(s), 5) for name, s in seconds.items()},
        "questions_per_s": {name: round(1 / median(s), 4) for name, s in seconds.items()},
        "new_tokens_per_s": {name: round(new_tokens / median(s), 3) for name, s in seconds.items()},
        "ratio_median_min_max": {name: ratio(seconds["qzoom"], seconds[name]) for name in others},
    }
