"""A loaded model as what answers a pool: directly at a budget, or zoomed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qzoom.checkpoints.fingerprint import weights_fingerprint
from qzoom.labels.answer_rows import AnswerRow
from qzoom.labels.answers import PoolRecord
from qzoom.zoom.answer import ZoomAnswer
from qzoom.zoom.model import ZoomModel
from qzoom.zoom.options import Zoom


@dataclass(frozen=True)
class ModelAnswerer:
    """Asks a model greedily.

    model: under the budget to ask with; zoom: as in `AskOptions`; max_new_tokens: longest answer;
    gate_threshold: in place of the model's own, or None.
    """

    model: ZoomModel
    zoom: Zoom
    max_new_tokens: int = 32
    gate_threshold: float | None = None

    @property
    def settings(self) -> Mapping[str, Any]:
        """Model, budget in cells, thresholds and options."""
        config = self.model.config
        least, most = self.model.pipeline.budget_cells
        gate = config.gate_threshold if self.gate_threshold is None else self.gate_threshold
        return {
            "model": self.model.name,
            "weights": weights_fingerprint(self.model.checkpoint),
            "min_cells": least,
            "max_cells": most,
            "zoom": self.zoom,
            "gate_threshold": gate if self.zoom == "auto" else None,
            "roi_threshold": config.roi_threshold if self.zoom != "never" else None,
            "max_new_tokens": self.max_new_tokens,
        }

    def __call__(self, batch: Sequence[PoolRecord]) -> list[AnswerRow]:
        """One row for each record, asked as one batch."""
        pairs = [(list(record.images), record.question) for record in batch]
        answers = self.model.ask_many(
            pairs,
            zoom=self.zoom,
            max_new_tokens=self.max_new_tokens,
            gate_threshold=self.gate_threshold,
        )
        return [
            row_of(record, answer, self.model.name)
            for record, answer in zip(batch, answers, strict=True)
        ]


def direct_answerer(
    model: ZoomModel, max_cells: int | None = None, *, exact: bool = False, max_new_tokens: int = 32
) -> ModelAnswerer:
    """Direct answers at a budget.

    Args:
        max_cells: Cells of a picture at most; None keeps the model's own budget.
        exact: Give smaller pictures that many cells too, as the reference's trajectories do.
    """
    return ModelAnswerer(_budgeted(model, max_cells, exact), "never", max_new_tokens)


def zoom_answerer(
    model: ZoomModel,
    max_cells: int | None = None,
    *,
    ask_gate: bool = False,
    gate_threshold: float | None = None,
    max_new_tokens: int = 32,
) -> ModelAnswerer:
    """Zoomed answers: always, or where the gate says so.

    Args:
        max_cells: Cells of a picture, and of a crop, at most; None keeps the model's own budget.
        ask_gate: Let the gate decide, which also puts its probability into the rows.
        gate_threshold: In place of the model's own; 0 zooms always, and still asks the gate.
    """
    zoom: Zoom = "auto" if ask_gate else "always"
    budgeted = _budgeted(model, max_cells, False)
    return ModelAnswerer(budgeted, zoom, max_new_tokens, gate_threshold)


def row_of(record: PoolRecord, answer: ZoomAnswer, model_name: str) -> AnswerRow:
    """What is kept of an answer."""
    boxes = answer.boxes_xyxy_px
    return AnswerRow(
        id=record.id,
        question=record.question,
        image=record.image,
        cells=answer.usage["visual_tokens"],
        text=answer.text,
        zoomed=answer.zoomed,
        gate_probability=answer.gate_probability,
        box_px_xyxy=boxes[0] if boxes else None,
        model=model_name,
    )


def _budgeted(model: ZoomModel, max_cells: int | None, exact: bool) -> ZoomModel:
    if max_cells is None:
        return model
    return model.with_budget(min_cells=max_cells if exact else None, max_cells=max_cells)
