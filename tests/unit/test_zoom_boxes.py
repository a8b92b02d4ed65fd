"""Looking at a given box, and budgets of crops."""

from __future__ import annotations

import dataclasses

import pytest
from tests.tiny import FAMILIES, Family
from tests.tiny_chat import ANY_REGION, chat_model, picture, recording_logits

import qzoom
from qzoom.errors import ConfigError, QZoomError
from qzoom.images.decode import decode_image

QUESTION = "what word is on the red sign?"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_given_box_is_looked_at_as_if_the_region_network_had_found_it(family: Family) -> None:
    model = chat_model(family)
    session = model.open(picture(80, 60))
    with recording_logits(model) as found:
        own = session.ask(QUESTION, max_new_tokens=3, **ANY_REGION)
    with recording_logits(model) as given:
        told = model.open(picture(80, 60)).ask(
            QUESTION, max_new_tokens=3, box_xyxy_px=own.boxes_xyxy_px[0]
        )
    assert told.zoomed
    assert told.gate_probability is None
    assert told.heatmap is None
    assert told.boxes_xyxy_px == own.boxes_xyxy_px
    assert (found[-1] - given[-1]).abs().max() < 1e-5


def test_bad_boxes_are_refused() -> None:
    session = chat_model("qwen3_vl").open(picture(80, 60))
    with pytest.raises(ConfigError, match="give x1, y1, x2, y2 in pixels"):
        session.ask(QUESTION, box_xyxy_px=(0, 0, 5))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="needs zoom branches and zoom"):
        session.ask(QUESTION, box_xyxy_px=(0, 0, 5, 5), zoom="never")
    with pytest.raises(QZoomError, match="is empty or leaves"):
        session.ask(QUESTION, box_xyxy_px=(0, 0, 5000, 5))


def test_small_crops_may_be_enlarged() -> None:
    model = chat_model("qwen3_vl")
    image = decode_image(picture(80, 60)).resize((512, 512))
    tokens = {}
    for least, most in ((0, 0), (36, 0), (36, 49)):
        config = model.config.with_overrides(min_crop_cells=least, max_crop_cells=most)
        zooming = qzoom.ZoomModel(dataclasses.replace(model.checkpoint, config=config))
        answer = zooming.open(image).ask(QUESTION, box_xyxy_px=(0, 0, 128, 128), max_new_tokens=1)
        tokens[least, most] = answer.usage["roi_tokens"]
    assert tokens == {(0, 0): 16, (36, 0): 36, (36, 49): 36}
    with pytest.raises(ConfigError, match="min_crop_cells is 50, above max_crop_cells, 49"):
        model.config.with_overrides(min_crop_cells=50, max_crop_cells=49)


def test_crops_may_have_a_budget_of_their_own() -> None:
    model = chat_model("qwen3_vl")
    image = decode_image(picture(80, 60)).resize((512, 512))
    box = (0, 0, 512, 512)
    with_own = {
        cells: _with_crops(model, cells)
        .open(image)
        .ask(QUESTION, box_xyxy_px=box, max_new_tokens=1)
        for cells in (0, 9, 144)
    }
    tokens = {cells: answer.usage["roi_tokens"] for cells, answer in with_own.items()}
    assert tokens == {0: 64, 9: 9, 144: 144}


def _with_crops(model: qzoom.ZoomModel, cells: int) -> qzoom.ZoomModel:
    config = model.config.with_overrides(max_crop_cells=cells)
    return qzoom.ZoomModel(dataclasses.replace(model.checkpoint, config=config))
