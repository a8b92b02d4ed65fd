"""Asking models the same questions in different ways, one row for every answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from qzoom.eval.bootstrap import clustered_mean
from qzoom.geometry.boxes import contains
from qzoom.reproduce.questions import AskedScene
from qzoom.synth.canvas import Question
from qzoom.train.branches import needs_zoom
from qzoom.zoom.answer import ZoomAnswer
from qzoom.zoom.model import ZoomModel
from qzoom.zoom.session import ImageSession

Look = Callable[[ImageSession, Question], ZoomAnswer]


@dataclass(frozen=True)
class AnswerRecord:
    """One answer.

    scene: cluster of the question; small: whether its print is too small for the coarse view;
    cells: visual tokens, the crop's included; inside: whether the answer's box lies in the crop,
    None without a crop or a box.
    """

    scene: str
    kind: str
    small: bool
    text: str
    right: bool
    cells: int
    zoomed: bool
    gate_probability: float | None
    inside: bool | None


def measure(model: ZoomModel, look: Look, scenes: Iterable[AskedScene]) -> list[AnswerRecord]:
    """Every question of every scene, looked at in one way."""
    found = []
    for scene in scenes:
        session = model.open(scene.image)
        for question in scene.questions:
            found.append(_record(scene.name, question, look(session, question)))
    return found


def direct(session: ImageSession, question: Question) -> ZoomAnswer:
    """One look at the whole picture."""
    return session.ask(question.text, zoom="never", max_new_tokens=8)


def zoomed(session: ImageSession, question: Question) -> ZoomAnswer:
    """A second look at every question."""
    return session.ask(question.text, zoom="always", max_new_tokens=8)


def gated(threshold: float | None = None) -> Look:
    """A second look where the gate says so."""
    return lambda session, question: session.ask(
        question.text, max_new_tokens=8, gate_threshold=threshold
    )


def summary(rows: Sequence[AnswerRecord]) -> dict[str, Any]:
    """Accuracy with its interval, cells, share zoomed, region recall where zoomed."""
    inside = [(float(row.inside), row.scene) for row in rows if row.inside is not None]
    return {
        "accuracy": _mean([(float(row.right), row.scene) for row in rows]),
        "mean_visual_tokens": round(sum(row.cells for row in rows) / len(rows), 1),
        "zoomed": round(sum(row.zoomed for row in rows) / len(rows), 4),
        "region_recall": _mean(inside) if inside else None,
        "easy_accuracy": _share([row.right for row in rows if not row.small]),
        "small_print_accuracy": _share([row.right for row in rows if row.small]),
        "easy_zoomed": _share([row.zoomed for row in rows if not row.small]),
    }


def difference(ours: Sequence[AnswerRecord], theirs: Sequence[AnswerRecord]) -> dict[str, Any]:
    """Paired difference of accuracy, ours minus theirs, over the same questions in order."""
    pairs = list(zip(ours, theirs, strict=True))
    return _mean([(float(one.right) - float(other.right), one.scene) for one, other in pairs])


def to_json(rows: Sequence[AnswerRecord]) -> list[dict[str, Any]]:
    """Rows as JSON."""
    return [asdict(row) for row in rows]


def from_json(rows: Iterable[Mapping[str, Any]]) -> list[AnswerRecord]:
    """Rows that `to_json` made."""
    return [AnswerRecord(**row) for row in rows]


def _record(scene: str, question: Question, answer: ZoomAnswer) -> AnswerRecord:
    box, inside = question.box_px_xyxy, None
    if answer.zoomed and box is not None:
        inside = contains(answer.boxes_xyxy_px[0], box)
    return AnswerRecord(
        scene=scene,
        kind=question.kind,
        small=needs_zoom(question),
        text=answer.text,
        right=answer.text.strip() == question.answer,
        cells=answer.usage["visual_tokens"] + answer.usage["roi_tokens"],
        zoomed=answer.zoomed,
        gate_probability=answer.gate_probability,
        inside=inside,
    )


def _mean(pairs: Sequence[tuple[float, str]]) -> dict[str, Any]:
    return clustered_mean([value for value, _ in pairs], [name for _, name in pairs]).to_json()


def _share(values: Sequence[bool]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None
