"""How well a model reads procedural scenes it has never seen: exact match against cells spent."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any, Final

from qzoom.eval.looks import looks_of
from qzoom.eval.tally import Tally
from qzoom.synth.canvas import Question
from qzoom.synth.fonts import FontSplit
from qzoom.synth.world import Scene, scene_of
from qzoom.zoom.model import ZoomModel

WORLD_LOOKS: Final = ("direct_coarse", "direct_double", "direct_full", "zoom_coarse")


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
    looks = looks_of(model, WORLD_LOOKS)
    tallies = {look: Tally() for look in looks}
    for scene, questions in asked_scenes(scenes, split, per_scene, name):
        for look, (looking, zoom) in looks.items():
            session = looking.open(scene.image)
            for question in questions:
                answer = session.ask(question.text, zoom=zoom, max_new_tokens=8)
                right = answer.text.strip() == question.answer
                box_px_xyxy = question.box_px_xyxy
                boxes_px_xyxy = () if box_px_xyxy is None else (box_px_xyxy,)
                tallies[look].add(question.kind, right, answer, boxes_px_xyxy)
    return {look: tally.report() for look, tally in tallies.items()}


def asked_scenes(
    count: int, split: FontSplit, per_scene: int, name: str
) -> Iterator[tuple[Scene, list[Question]]]:
    """Scenes of the first `count` seeds with a few questions each."""
    for seed in range(count):
        scene = scene_of(seed, split, name)
        rng = Random(f"{name}/questions/{seed}")
        yield scene, rng.sample(scene.questions, min(per_scene, len(scene.questions)))
