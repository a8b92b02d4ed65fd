"""Fewer cells and a closer look against many cells: the speed that accuracy is bought with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def against_largest(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Questions per second of qzoom by those of plain transformers at the largest budget."""
    largest = max(row["cells_at_most"] for row in report["budgets"])
    plain = {row["cells_at_most"]: row["median_s"]["plain"] for row in report["budgets"]}[largest]
    names = ("budget", "roi_cells", "fire_rate", "questions")
    return [
        {name: mix[name] for name in names}
        | {"against_cells": largest}
        | {"speed_up": round(plain / mix["seconds_per_question"]["qzoom"], 3)}
        for mix in report["mixes"]
        if mix["budget"] < largest
    ]
