"""A session computes its prefix once: later questions append their own rows and nothing else."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from tests.tiny import BRANCH_DEPTH, FAMILIES, SPLIT_LAYER, Family
from tests.tiny_chat import (
    ANY_REGION,
    LAYERS,
    NO_REGION,
    Counts,
    chat_model,
    counting,
    picture,
    recording_logits,
)

import qzoom
from qzoom.errors import ImageError, PromptError, QZoomError
from qzoom.zoom.chat import question_ids
from qzoom.zoom.prompt import PromptLayout, lay_out

NEVER: dict[str, Any] = {"zoom": "never"}
ALWAYS: dict[str, Any] = {"zoom": "always", "roi_threshold": 0.0}
ASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "direct": ("what word is on the red sign?", NEVER),
    "always": ("which bar is the tallest of them all?", ALWAYS),
    "auto": ("what is the title?", ANY_REGION),
    "shut": ("how many signs are there?", {"gate_threshold": 1.1}),
}


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest) -> qzoom.ZoomModel:
    return chat_model(request.param)


def layout_of(model: qzoom.ZoomModel, session: qzoom.ImageSession, question: str) -> PromptLayout:
    grids = [model.grid_of(image) for image in session.images]
    ids = question_ids(model.tokenizer, question, grids, model.parts.ids.image)
    return lay_out(ids, grids, model.parts.ids)


def expected(
    lower: int, upper: int, gate: int = 0, region: int = 0, cells: int = 0, images: int = 0
) -> Counts:
    """Counts for these rows; where a last layer gives out one row alone, that row comes on top."""
    trunk = [lower] * SPLIT_LAYER + [upper] * (LAYERS - SPLIT_LAYER)
    trunk[-1] += 1
    gates = [gate] * BRANCH_DEPTH
    gates[-1] += gate > 0
    regions = [region] * (BRANCH_DEPTH - 1)
    # With known keys the region branch needs its last row alone.
    regions[-1] += region > 0 and cells == 0
    return Counts(trunk, gates, regions, cells, images)


def test_questions_append_only_what_is_new(model: qzoom.ZoomModel) -> None:
    session = model.open(picture())

    def ask(name: str) -> tuple[Counts, int, int, int]:
        """What was counted; rows after the prefix, the same zoomed, and those of the crop."""
        question, options = ASKS[name]
        with counting(model) as counts:
            answer = session.ask(question, max_new_tokens=1, **options)
        layout = layout_of(model, session, question)
        zoomed = answer.usage["prompt_tokens"] - layout.prefix_length
        return counts, layout.length - layout.prefix_length, zoomed, answer.usage["roi_tokens"] + 3

    first = layout_of(model, session, ASKS["shut"][0])
    prefix, cells = first.prefix_length, first.source_cells

    counts, own, _, _ = ask("shut")
    everything = prefix + own
    assert counts == expected(everything, everything, gate=everything, images=1)

    counts, own, _, _ = ask("direct")
    assert counts == expected(own, own)

    counts, own, zoomed, _ = ask("always")
    assert counts == expected(own + zoomed, zoomed, region=prefix + own, cells=cells, images=1)

    counts, own, zoomed, head = ask("auto")
    rest = zoomed - head
    assert counts == expected(own + rest, rest, gate=own, region=own)

    counts, own, _, _ = ask("shut")
    assert counts == expected(own, own, gate=own)


def test_a_first_question_that_zooms_runs_the_upper_layers_once(model: qzoom.ZoomModel) -> None:
    session = model.open(picture())
    question, options = ASKS["auto"]
    with counting(model) as counts:
        answer = session.ask(question, max_new_tokens=1, **options)
    layout = layout_of(model, session, question)
    whole, cells, final = layout.length, layout.source_cells, answer.usage["prompt_tokens"]
    assert counts == expected(
        whole + final - layout.prefix_length, final, whole, whole, cells, images=2
    )
    with counting(model) as counts:
        session.ask(question, max_new_tokens=1, zoom="never")
    own = whole - layout.prefix_length
    assert counts == expected(own, own)


def test_every_order_of_questions_equals_fresh_sessions(model: qzoom.ZoomModel) -> None:
    image = picture(300, 180, seed=1)

    def ask(session: qzoom.ImageSession, name: str) -> tuple[qzoom.ZoomAnswer, torch.Tensor]:
        question, options = ASKS[name]
        with recording_logits(model) as steps:
            answer = session.ask(question, max_new_tokens=3, eos_token_id=[], **options)
        return answer, torch.cat(steps)

    fresh = {name: ask(model.open(image), name) for name in ASKS}
    assert [name for name, (answer, _) in fresh.items() if answer.zoomed] == ["always", "auto"]
    for order in itertools.permutations(ASKS):
        session = model.open(image)
        for name in order:
            (answer, logits), (alone, alone_logits) = ask(session, name), fresh[name]
            torch.testing.assert_close(logits, alone_logits, rtol=0, atol=1e-5)
            assert answer.token_ids == alone.token_ids, order
            assert (answer.text, answer.usage) == (alone.text, alone.usage)
            assert answer.boxes_xyxy_px == alone.boxes_xyxy_px
            assert answer.gate_probability == pytest.approx(alone.gate_probability, abs=1e-5)


def test_boxes_of_different_thresholds_on_one_session(model: qzoom.ZoomModel) -> None:
    image, question = picture(400, 300, seed=2), "what is the total?"
    heat = model.open(image).ask(question, max_new_tokens=1, **ANY_REGION).heatmap
    assert heat is not None
    levels = [float(heat.quantile(q)) for q in (0.0, 0.5, 0.8, 0.9, 0.95, 0.98)]
    session = model.open(image)
    boxes = set()
    # Twice, so that some boxes come back kept and some after being dropped.
    for level in levels + levels[::-1]:
        options: dict[str, Any] = {"gate_threshold": 0.0, "roi_threshold": level}
        answer = session.ask(question, max_new_tokens=3, **options)
        alone = model.open(image).ask(question, max_new_tokens=3, **options)
        assert answer.boxes_xyxy_px == alone.boxes_xyxy_px
        assert answer.token_ids == alone.token_ids
        boxes.update(answer.boxes_xyxy_px)
    assert len(boxes) >= 3


def test_an_empty_map_falls_through_to_a_direct_answer(model: qzoom.ZoomModel) -> None:
    image, question = picture(), "what is the total?"
    empty = model.open(image).ask(question, max_new_tokens=4, **NO_REGION)
    direct = model.open(image).ask(question, max_new_tokens=4, **NEVER)
    assert not empty.zoomed
    assert empty.heatmap is not None
    assert empty.heatmap.shape == model.grid_of(image)
    assert empty.gate_probability is not None
    assert empty.token_ids == direct.token_ids
    assert (direct.heatmap, direct.gate_probability, direct.boxes_xyxy_px) == (None, None, [])


def test_the_gate_opens_at_its_threshold(model: qzoom.ZoomModel) -> None:
    session, question = model.open(picture()), "what is the total?"
    probability = session.ask(question, max_new_tokens=1).gate_probability
    assert probability is not None
    at = session.ask(question, max_new_tokens=1, gate_threshold=probability, roi_threshold=0.0)
    # Asked of the same prefix in the same way, the probability is the same to the last bit.
    assert at.gate_probability is not None
    exactly = session.ask(
        question, max_new_tokens=1, gate_threshold=at.gate_probability, roi_threshold=0.0
    )
    above = session.ask(
        question, max_new_tokens=1, gate_threshold=at.gate_probability + 1e-6, roi_threshold=0.0
    )
    assert exactly.zoomed
    assert not above.zoomed
    assert above.heatmap is None


@pytest.mark.parametrize("part", ["lower", "upper", "region", "crop"])
def test_a_question_that_fails_leaves_nothing_behind(
    part: str, model: qzoom.ZoomModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, question = model.open(picture()), "what is the total?"
    session.ask("how many signs are there?", max_new_tokens=1, zoom="never")

    def fail(*_: Any, **__: Any) -> None:
        raise MemoryError("as if the device were full")

    add_on = model.parts.add_on
    assert add_on is not None
    places = {
        "lower": model.parts.lower[1],
        "upper": model.parts.upper[1],
        "region": add_on.region.layers[1],
    }
    with monkeypatch.context() as patch:
        if part in places:
            patch.setattr(places[part], "forward", fail)
        else:
            patch.setattr("qzoom.zoom.routing.encode_crop", fail)
        with pytest.raises(MemoryError):
            session.ask(question, **ANY_REGION)
    answer = session.ask(question, max_new_tokens=4, **ANY_REGION)
    alone = model.open(picture()).ask(question, max_new_tokens=4, **ANY_REGION)
    assert answer.token_ids == alone.token_ids


def test_several_images_and_none(model: qzoom.ZoomModel) -> None:
    images = [picture(200, 200, seed=3), picture(300, 160, seed=4)]
    session = model.open(images)
    with counting(model) as counts:
        answer = session.ask("what is the total?", max_new_tokens=2, **ANY_REGION)
    assert counts.images == 3
    assert answer.zoomed
    assert answer.heatmap is not None
    assert answer.heatmap.shape == model.grid_of(images[answer.image_index])
    width, height = images[answer.image_index].size
    assert answer.boxes_xyxy_px == [(0, 0, width, height)]
    assert answer.usage["visual_tokens"] == sum(
        rows * cols for rows, cols in map(model.grid_of, images)
    )
    text_only = model.open([])
    first = text_only.ask("what is the total?", max_new_tokens=3, **ALWAYS)
    second = text_only.ask("what is the total?", max_new_tokens=3)
    assert not first.zoomed
    assert first.token_ids == second.token_ids
    assert second.usage["visual_tokens"] == 0


def test_a_system_turn_is_part_of_the_prefix() -> None:
    model = chat_model("qwen3_vl")
    plain = model.open(picture())
    told = model.open(picture(), system="answer with one word")
    question = "what is the total?"
    usual = plain.ask(question, max_new_tokens=1, zoom="never").usage["prompt_tokens"]
    longer = told.ask(question, max_new_tokens=1, zoom="never").usage["prompt_tokens"]
    extra = question_ids(model.tokenizer, question, [], 5, "answer with one word")
    without = question_ids(model.tokenizer, question, [], 5)
    assert longer - usual == len(extra) - len(without) > 0
    with counting(model) as counts:
        told.ask(question, max_new_tokens=1, zoom="never")
    assert counts.images == 0


def test_what_an_answer_reports(model: qzoom.ZoomModel) -> None:
    session = model.open(picture())
    first = session.ask("what is the total?", max_new_tokens=3, eos_token_id=[], **ANY_REGION)
    second = session.ask("what is the total?", max_new_tokens=3, eos_token_id=[], **NEVER)
    parts = ["encode", "prefill", "gate", "region", "crop", "zoom", "decode", "total"]
    assert list(first.timings_s) == list(second.timings_s) == parts
    assert all(seconds > 0 for seconds in first.timings_s.values())
    assert sum(first.timings_s.values()) - first.timings_s["total"] <= first.timings_s["total"]
    # Asked for nothing but the direct way over a prefix that is there already.
    assert second.timings_s["encode"] < first.timings_s["encode"]
    assert not any(second.timings_s[name] for name in ("region", "crop", "zoom"))
    assert first.usage["new_tokens"] == len(first.token_ids) == 3
    assert first.usage["prompt_tokens"] == (
        second.usage["prompt_tokens"] + first.usage["roi_tokens"] + 2
    )
    assert first.heatmap is not None
    assert first.heatmap.dtype == torch.float32


@pytest.mark.parametrize("family", FAMILIES)
def test_a_plain_backbone_answers_directly(family: Family) -> None:
    model = chat_model(family, region=False, gate=False)
    assert not model.config.enabled
    answer = model.open(picture()).ask("what is the total?", max_new_tokens=3, eos_token_id=[])
    zooming = chat_model(family).open(picture())
    same = zooming.ask("what is the total?", max_new_tokens=3, zoom="never", eos_token_id=[])
    assert answer.token_ids == same.token_ids
    assert not answer.zoomed
    assert (answer.heatmap, answer.gate_probability) == (None, None)


@pytest.mark.parametrize("family", FAMILIES)
def test_without_a_gate_every_question_zooms(family: Family) -> None:
    session = chat_model(family, gate=False).open(picture())
    for _ in range(2):
        answer = session.ask("what is the total?", max_new_tokens=2, roi_threshold=0.0)
        assert answer.zoomed
        assert answer.gate_probability is None
    assert not session.ask("what is the total?", max_new_tokens=2, zoom="never").zoomed


def test_branches_of_one_layer() -> None:
    model = chat_model("qwen3_vl", branch_depth=1)
    session, question = model.open(picture()), "what is the total?"
    for _ in range(2):
        answer = session.ask(question, max_new_tokens=2, **ANY_REGION)
        alone = model.open(picture()).ask(question, max_new_tokens=2, **ANY_REGION)
        assert answer.zoomed
        assert answer.token_ids == alone.token_ids


def test_eager_attention_gives_the_same_answers(model: qzoom.ZoomModel) -> None:
    family: Any = model.family
    eager = chat_model(family, attn="eager").open(picture())
    session = model.open(picture())
    for question, options in ASKS.values():
        ours = session.ask(question, max_new_tokens=3, **options)
        assert ours.token_ids == eager.ask(question, max_new_tokens=3, **options).token_ids


def test_bad_requests_fail_at_once_and_in_words() -> None:
    model = chat_model("qwen3_vl")
    session: Any = model.open(picture())
    with counting(model) as counts:
        for question, options, says in [
            ("  ", {}, "question is empty"),
            ("what?", {"zoom": "maybe"}, "'auto', 'never' or 'always'"),
            ("what?", {"max_new_tokens": 0}, "max_new_tokens is 0"),
            ("what?", {"colour": "red"}, "unknown option 'colour'; known: max_new_tokens"),
        ]:
            for stream in (False, True):
                with pytest.raises(QZoomError, match=says):
                    session.ask(question, stream=stream, **options)
    assert counts == Counts()
    with pytest.raises(PromptError, match="must be a string, got NoneType"):
        session.ask(None)
    with pytest.raises(ImageError, match="aspect ratio of 300"):
        model.open(picture(300, 1))
