"""Evaluation on the procedural world: what is asked, and how it is counted."""

from __future__ import annotations

import json

import pytest
from tests.train.parts import make_add_on, make_model, tokenizer

from qzoom.eval.world import asked_scenes, evaluate_world
from qzoom.train.export import checkpoint_of
from qzoom.train.recipe import ZoomRecipe
from qzoom.zoom.model import ZoomModel

LOOKS = ("direct_coarse", "direct_double", "direct_full", "zoom_coarse")


def test_asked_scenes_repeat_and_hold_no_question_twice() -> None:
    first = list(asked_scenes(5, "heldout", 3, "eval"))
    again = list(asked_scenes(5, "heldout", 3, "eval"))
    assert [questions for _, questions in first] == [questions for _, questions in again]
    for scene, questions in first:
        assert len(questions) == min(3, len(scene.questions))
        assert len({question.text for question in questions}) == len(questions)
        assert set(questions) <= set(scene.questions)


@pytest.fixture(scope="module")
def model() -> ZoomModel:
    trunk = make_model(seed=6)
    zoom = ZoomRecipe(gate_threshold=0.0, roi_threshold=0.0)
    return ZoomModel(checkpoint_of(trunk, make_add_on(trunk), tokenizer(), zoom, "random"))


def test_a_random_model_runs_and_is_counted(model: ZoomModel) -> None:
    report = evaluate_world(model, 1, "heldout", per_scene=2)
    assert tuple(report) == LOOKS
    json.dumps(report, allow_nan=False)
    for look in LOOKS:
        assert report[look]["questions"] == 2
        assert report[look]["zoomed"] == (1.0 if look == "zoom_coarse" else 0.0)
    cells = [report[look]["mean_visual_tokens"] for look in LOOKS]
    assert cells[0] < cells[1] < cells[2]
    assert cells[0] < cells[3]
    assert report["zoom_coarse"]["answer_inside_crop"] is None or (
        0.0 <= report["zoom_coarse"]["answer_inside_crop"] <= 1.0
    )
