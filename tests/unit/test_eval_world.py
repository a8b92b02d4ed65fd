"""Evaluation on the procedural world: what is asked, and how it is counted."""

from __future__ import annotations

import json

import pytest
from tests.train.parts import make_add_on, make_model, tokenizer

from qzoom.eval.world import Tally, asked_scenes, evaluate_world
from qzoom.synth.canvas import Question
from qzoom.train.export import checkpoint_of
from qzoom.train.recipe import ZoomRecipe
from qzoom.zoom.answer import ZoomAnswer
from qzoom.zoom.model import ZoomModel

LOOKS = ("direct_coarse", "direct_double", "direct_full", "zoom_coarse")


def answer(text: str, zoomed: bool = False, box: tuple[int, int, int, int] = (0, 0, 9, 9)):
    return ZoomAnswer(
        text=text,
        zoomed=zoomed,
        gate_probability=0.5,
        boxes_xyxy_px=[box] if zoomed else [],
        heatmap=None,
        image_index=0,
        token_ids=[1],
        usage={"visual_tokens": 60, "roi_tokens": 20 if zoomed else 0},
    )


def test_a_tally_counts_what_was_right_and_what_it_cost() -> None:
    tally = Tally()
    tally.add(Question("?", "owl", "sign_word", (1, 1, 5, 5), 5.0), answer(" owl ", True))
    tally.add(Question("?", "12", "sign_number", (1, 1, 5, 50), 5.0), answer("13", True))
    tally.add(Question("?", "3", "count"), answer("3", True))
    tally.add(Question("?", "red", "colour", (1, 1, 5, 5)), answer("reds"))
    report = tally.report()
    assert report["exact_match"] == 0.5
    assert report["questions"] == 4
    assert report["mean_visual_tokens"] == 75.0
    assert report["zoomed"] == 0.75
    # A whole-picture question has nothing to hold.
    assert report["answer_inside_crop"] == 0.5
    assert report["by_kind"] == {"colour": 0.0, "count": 1.0, "sign_number": 0.0, "sign_word": 1.0}
    low, high = report["interval_95"]
    assert low < 0.5 < high


def test_an_empty_tally() -> None:
    report = Tally().report()
    assert report["exact_match"] is None
    assert report["interval_95"] == [0.0, 1.0]
    assert report["questions"] == 0


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
