"""ask_many: ragged prompts, each routed on its own, equal to questions asked alone."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.tiny import FAMILIES
from tests.tiny_chat import ANY_REGION, chat_model, counting, picture

import qzoom
from qzoom.errors import ConfigError, ImageError, PromptError

LONG: dict[str, Any] = {"max_new_tokens": 8, "eos_token_id": []}


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest) -> qzoom.ZoomModel:
    return chat_model(request.param)


def mixed_pairs() -> list[tuple[Any, str]]:
    """Pictures of different sizes, one of them twice, several in one prompt, and none."""
    wide, tall, small = picture(420, 160), picture(180, 300, seed=1), picture(90, 90, seed=2)
    return [
        (wide, "what word is on the red sign?"),
        (tall, "which bar is the tallest of them all, the red one or the blue one?"),
        ([], "what is the total?"),
        (wide, "how many signs are there?"),
        ([tall, small], "what is the title of the table?"),
        (small, "yes or no?"),
    ]


def between(values: list[float]) -> float:
    """A threshold that parts the values in two."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return (ordered[middle - 1] + ordered[middle]) / 2


def assert_same(together: qzoom.ZoomAnswer, alone: qzoom.ZoomAnswer) -> None:
    assert together.token_ids == alone.token_ids
    assert (together.text, together.usage) == (alone.text, alone.usage)
    assert together.zoomed == alone.zoomed
    assert together.boxes_xyxy_px == alone.boxes_xyxy_px
    assert together.image_index == alone.image_index
    assert together.gate_probability == pytest.approx(alone.gate_probability, abs=1e-5)
    assert (together.heatmap is None) == (alone.heatmap is None)
    if together.heatmap is not None:
        torch.testing.assert_close(together.heatmap, alone.heatmap, rtol=0, atol=1e-5)


@pytest.mark.parametrize("attn", ["sdpa", "eager"])
@pytest.mark.parametrize("kept", [0.0, 0.9])
def test_a_mixed_batch_equals_single_questions(
    model: qzoom.ZoomModel, attn: str, kept: float
) -> None:
    family: Any = model.family
    model = chat_model(family, attn=attn)
    pairs = mixed_pairs()
    first = [model.open(images).ask(q, max_new_tokens=1, **ANY_REGION) for images, q in pairs]
    gates = [a.gate_probability for a in first if a.gate_probability is not None]
    maps = [a.heatmap for a in first if a.heatmap is not None]
    options: dict[str, Any] = LONG | {
        "gate_threshold": between(gates),
        "roi_threshold": kept * max(float(heat.max()) for heat in maps),
    }
    answers = model.ask_many(pairs, **options)
    assert {answer.zoomed for answer in answers} == {True, False}
    assert answers[2].usage["visual_tokens"] == 0
    for answer, (images, question) in zip(answers, pairs, strict=True):
        assert_same(answer, model.open(images).ask(question, **options))


@pytest.mark.parametrize("zoom", ["always", "never"])
def test_a_batch_of_one_mind(model: qzoom.ZoomModel, zoom: Any) -> None:
    pairs = mixed_pairs()
    options: dict[str, Any] = LONG | {"zoom": zoom, "roi_threshold": 0.0}
    answers = model.ask_many(pairs, **options)
    assert [answer.zoomed for answer in answers] == [
        zoom == "always" and images != [] for images, _ in pairs
    ]
    for answer, (images, question) in zip(answers, pairs, strict=True):
        assert_same(answer, model.open(images).ask(question, **options))


def test_rows_end_each_for_themselves(model: qzoom.ZoomModel) -> None:
    pairs = [(images, question) for images, question in mixed_pairs() if images != []]
    free = model.ask_many(pairs, **LONG)
    options: dict[str, Any] = {
        "max_new_tokens": 8,
        "eos_token_id": [free[0].token_ids[2], free[1].token_ids[4]],
        "stop": [free[2].text[2:5], free[3].text[:1]],
    }
    answers = model.ask_many(pairs, **options)
    assert len({len(answer.token_ids) for answer in answers}) > 1
    for answer, (images, question) in zip(answers, pairs, strict=True):
        assert_same(answer, model.open(images).ask(question, **options))


def test_no_row_runs_longer_than_the_last_one_needs(model: qzoom.ZoomModel) -> None:
    pairs = [(images, question) for images, question in mixed_pairs()[:2] if images != []]
    free = model.ask_many(pairs, zoom="never", **LONG)
    with counting(model) as counts:
        # The one ends by an end token, the other by a stop string.
        model.ask_many(
            pairs,
            zoom="never",
            max_new_tokens=8,
            eos_token_id=free[0].token_ids[0],
            stop=free[1].text[:1],
        )
    prompt = max(answer.usage["prompt_tokens"] for answer in free)
    assert counts.trunk[0] <= prompt + 3


@pytest.mark.parametrize("way", [{"repetition_penalty": 1.3}, {"temperature": 1.2, "seed": 7}])
def test_neighbours_do_not_change_what_is_drawn(model: qzoom.ZoomModel, way: Any) -> None:
    pairs = mixed_pairs()
    for answer, (images, question) in zip(model.ask_many(pairs, **LONG, **way), pairs, strict=True):
        alone = model.open(images).ask(question, **LONG, **way)
        assert answer.token_ids == alone.token_ids


def test_an_image_given_twice_is_encoded_once(model: qzoom.ZoomModel, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    picture().save(path)
    data, held = path.read_bytes(), picture(seed=1)
    file = BytesIO(data)
    sources: list[Any] = [
        path,
        str(path),
        data,
        bytes(bytearray(data)),
        held,
        [held, path],
        file,
        file,
    ]
    with counting(model) as counts:
        answers = model.ask_many([(s, "what?") for s in sources], zoom="never", **LONG)
    # The path, the bytes, the held picture and the open file.
    assert counts.images == 4
    same = [answer.token_ids for place, answer in enumerate(answers) if place not in (4, 5)]
    assert same == [same[0]] * 6
    assert answers[5].usage["visual_tokens"] == 2 * answers[0].usage["visual_tokens"]


def test_images_that_are_equal_by_chance_are_kept_apart(model: qzoom.ZoomModel) -> None:
    # A new picture may take the place in memory of one that is gone.
    pairs = [(picture(seed=seed), "what is the total?") for seed in range(4)]
    answers = model.ask_many([(image.copy(), q) for image, q in pairs], zoom="never", **LONG)
    for answer, (image, question) in zip(answers, pairs, strict=True):
        assert answer.token_ids == model.open(image).ask(question, zoom="never", **LONG).token_ids


def test_nothing_and_what_cannot_be_used() -> None:
    model = chat_model("qwen3_vl")
    assert model.ask_many([]) == []
    good = (picture(), "what is the total?")
    with counting(model) as counts:
        with pytest.raises(ImageError, match="no image file"):
            model.ask_many([good, ("missing.png", "what?")])
        with pytest.raises(ImageError, match="aspect ratio"):
            model.ask_many([good, (picture(400, 1), "what?")])
        with pytest.raises(PromptError, match="question is empty"):
            model.ask_many([good, (picture(), "")])
        with pytest.raises(ConfigError, match="unknown option"):
            model.ask_many([good], length=3)  # type: ignore[call-arg]
    assert counts.images == 0
    assert not any(counts.trunk)


def test_timings_are_those_of_the_batch(model: qzoom.ZoomModel) -> None:
    options: dict[str, Any] = LONG | ANY_REGION
    answers = model.ask_many(mixed_pairs(), **options)
    for name in ("encode", "prefill", "gate", "region", "crop", "zoom", "decode"):
        assert len({answer.timings_s[name] for answer in answers}) == 1
        assert answers[0].timings_s[name] > 0
