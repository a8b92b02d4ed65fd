"""How well a model reads procedural scenes it has never seen: exact match against cells spent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from qzoom.eval.intervals import wilson
from qzoom.geometry.boxes import contains
from qzoom.synth.canvas import Question
from qzoom.synth.fonts import FontSplit
from qzoom.synth.world import Scene, scene_of
from qzoom.zoom.answer import ZoomAnswer
from qzoom.zoom.model import ZoomModel
from qzoom.zoom.options import Zoom

FULL_CELLS: Final = 1024


@dataclass
class Tally:
    """Answers of one way of looking."""

    right: dict[str, list[bool]] = field(default_factory=dict)
    cells: list[int] = field(default_factory=list)
    zoomed: list[bool] = field(default_factory=list)
    inside: list[bool] = field(default_factory=list)

    def add(self, question: Question, answer: ZoomAnswer) -> None:
        """Count one answer."""
        self.right.setdefault(question.kind, []).append(answer.text.strip() == question.answer)
        self.cells.append(answer.usage["visual_tokens"] + answer.usage["roi_tokens"])
        self.zoomed.append(answer.zoomed)
        if answer.zoomed and question.box_px_xyxy is not None:
            self.inside.append(contains(answer.boxes_xyxy_px[0], question.box_px_xyxy))

    def report(self) -> dict[str, Any]:
        """Exact match with its 95 % interval, mean cells, share zoomed, answer inside the crop."""
        every = [right for group in self.right.values() for right in group]
        low, high = wilson(sum(every), len(every))
        return {
            "exact_match": _mean(every),
            "interval_95": [round(low, 4), round(high, 4)],
            "questions": len(every),
            "mean_visual_tokens": _mean(self.cells),
            "zoomed": _mean(self.zoomed),
            "answer_inside_crop": _mean(self.inside),
            "by_kind": {kind: _mean(group) for kind, group in sorted(self.right.items())},
        }


def evaluate_world(
    model: ZoomModel, scenes: int, split: FontSplit, *, per_scene: int = 3, name: str = "eval"
) -> dict[str, Any]:
    """Ask `per_scene` questions of each of `scenes` unseen scenes in four ways.

    Args:
        split: faces used; "heldout" ones were never trained on.
        name: seeds the scenes; training never uses this name.

    Returns:
        a report for "direct_coarse", "direct_double", "direct_full" and "zoom_coarse".
    """
    coarse = model.pipeline.max_pixels // model.pipeline.cell_side_px**2
    looks: dict[str, tuple[ZoomModel, Zoom]] = {
        "direct_coarse": (model, "never"),
        "direct_double": (model.with_budget(max_cells=2 * coarse), "never"),
        "direct_full": (model.with_budget(max_cells=FULL_CELLS), "never"),
        "zoom_coarse": (model, "auto"),
    }
    tallies = {look: Tally() for look in looks}
    for scene, questions in asked_scenes(scenes, split, per_scene, name):
        for look, (looking, zoom) in looks.items():
            session = looking.open(scene.image)
            for question in questions:
                answer = session.ask(question.text, zoom=zoom, max_new_tokens=8)
                tallies[look].add(question, answer)
    return {look: tally.report() for look, tally in tallies.items()}


def asked_scenes(
    count: int, split: FontSplit, per_scene: int, name: str
) -> Iterator[tuple[Scene, list[Question]]]:
    """Scenes of the first `count` seeds with a few questions each."""
    for seed in range(count):
        scene = scene_of(seed, split, name)
        rng = Random(f"{name}/questions/{seed}")
        yield scene, rng.sample(scene.questions, min(per_scene, len(scene.questions)))


def _mean(values: list[Any]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None
