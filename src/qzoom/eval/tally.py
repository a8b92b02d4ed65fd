"""Answers of one way of looking, counted: what was right, what it cost, where it looked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from qzoom.geometry.boxes import BoxLike, contains, covered_share
from qzoom.intervals import wilson
from qzoom.zoom.answer import ZoomAnswer

MOSTLY: Final = 0.9
"""Share of an answer's box that a crop has to hold to hold it mostly."""


@dataclass
class Tally:
    """Answers of one way of looking; the first image is the one that boxes belong to."""

    right: dict[str, list[bool]] = field(default_factory=dict)
    cells: list[int] = field(default_factory=list)
    zoomed: list[bool] = field(default_factory=list)
    inside: list[bool] = field(default_factory=list)
    mostly_inside: list[bool] = field(default_factory=list)

    def add(
        self, kind: str, right: bool, answer: ZoomAnswer, boxes_px_xyxy: Sequence[BoxLike]
    ) -> None:
        """Count one answer.

        Args:
            kind: of the question.
            boxes_px_xyxy: where the answer is; empty when that is not known.
        """
        self.right.setdefault(kind, []).append(right)
        self.cells.append(answer.usage["visual_tokens"] + answer.usage["roi_tokens"])
        self.zoomed.append(answer.zoomed)
        if answer.zoomed and boxes_px_xyxy:
            crops = answer.boxes_xyxy_px[:1] if answer.image_index == 0 else []
            self.inside.append(
                bool(crops) and all(contains(crops[0], box) for box in boxes_px_xyxy)
            )
            self.mostly_inside.append(
                bool(crops) and all(covered_share(crops[0], b) >= MOSTLY for b in boxes_px_xyxy)
            )

    def report(self) -> dict[str, Any]:
        """Exact match with its 95 % interval, mean cells, share zoomed, answer inside the crop."""
        return {
            **share([right for group in self.right.values() for right in group]),
            "mean_visual_tokens": mean(self.cells),
            "zoomed": mean(self.zoomed),
            "answer_inside_crop": mean(self.inside),
            "answer_mostly_inside_crop": mean(self.mostly_inside),
            "by_kind": {kind: mean(group) for kind, group in sorted(self.right.items())},
        }


def share(right: Sequence[bool]) -> dict[str, Any]:
    """Exact match, its 95 % interval and the number of questions."""
    low, high = wilson(sum(right), len(right))
    return {
        "exact_match": mean(right),
        "interval_95": [round(low, 4), round(high, 4)],
        "questions": len(right),
    }


def mean(values: Sequence[float]) -> float | None:
    """The mean to four places, or None of nothing."""
    return round(sum(values) / len(values), 4) if values else None
