"""Streams: the same text in pieces, ended by stop strings, limits, end tokens or a new question."""

from __future__ import annotations

from typing import Any

import pytest
from tests.tiny_chat import ANY_REGION, chat_model, picture

import qzoom
from qzoom.errors import QZoomError

QUESTION = "what word is on the red sign?"
LONG: dict[str, Any] = {"max_new_tokens": 24, "eos_token_id": []}
WAYS: list[dict[str, Any]] = [{"zoom": "never"}, dict(ANY_REGION)]


@pytest.fixture(params=["qwen3_vl", "qwen2_5_vl"])
def session(request: pytest.FixtureRequest) -> qzoom.ImageSession:
    return chat_model(request.param).open(picture())


@pytest.mark.parametrize("way", WAYS, ids=["direct", "zoomed"])
def test_pieces_join_to_the_answer(session: qzoom.ImageSession, way: dict[str, Any]) -> None:
    whole = session.ask(QUESTION, **LONG, **way)
    stream = session.ask(QUESTION, stream=True, **LONG, **way)
    assert stream.answer is None
    pieces = list(stream)
    assert len(pieces) > 5
    assert all(pieces)
    assert "".join(pieces) == whole.text
    answer = stream.answer
    assert answer is not None
    assert (answer.text, answer.token_ids) == (whole.text, whole.token_ids)
    assert (answer.usage, answer.boxes_xyxy_px) == (whole.usage, whole.boxes_xyxy_px)
    assert next(stream, None) is None


def test_text_is_what_the_tokenizer_decodes(session: qzoom.ImageSession) -> None:
    answer = session.ask(QUESTION, **LONG)
    decoded = session.model.tokenizer.decode(answer.token_ids, skip_special_tokens=True)
    assert answer.text == decoded
    assert len(answer.token_ids) == 24


def test_every_stop_string_cuts_the_text(session: qzoom.ImageSession) -> None:
    text = session.ask(QUESTION, **LONG).text
    # Stop strings of three characters from everywhere, whatever tokens they span.
    for start in range(0, len(text) - 3, 5):
        stop = text[start : start + 3]
        stream = session.ask(QUESTION, stream=True, stop=stop, **LONG)
        shown = ""
        for piece in stream:
            shown += piece
            assert stop not in shown
        assert shown == text[: text.index(stop)]
        assert stream.answer is not None
        assert stream.answer.text == shown
        assert stream.answer.usage["new_tokens"] <= 24


def test_of_several_stop_strings_the_first_to_come_cuts(session: qzoom.ImageSession) -> None:
    text = session.ask(QUESTION, **LONG).text
    late, early = text[12:15], text[5:8]
    answer = session.ask(QUESTION, stop=[late, "never said", early], **LONG)
    assert answer.text == text[: min(text.index(late), text.index(early))]


def test_end_tokens_end(session: qzoom.ImageSession) -> None:
    tokens = session.ask(QUESTION, **LONG).token_ids
    end = next(token for place, token in enumerate(tokens) if place > 3 and token > 6)
    cut = tokens[: tokens.index(end) + 1]
    for eos in (end, [end], [1022, end]):
        answer = session.ask(QUESTION, max_new_tokens=24, eos_token_id=eos)
        assert answer.token_ids == cut
        # The end token is counted but is no part of the text.
        assert answer.text == session.model.tokenizer.decode(cut[:-1], skip_special_tokens=True)
    first = session.ask(QUESTION, max_new_tokens=24, eos_token_id=tokens[0])
    assert (first.text, first.token_ids) == ("", tokens[:1])


def test_the_models_own_end_token_is_used(session: qzoom.ImageSession) -> None:
    from tests.tiny_chat import chat_checkpoint

    tokens = session.ask(QUESTION, **LONG).token_ids
    family: Any = session.model.family
    ending = qzoom.ZoomModel(chat_checkpoint(family, eos=tokens[0]))
    assert ending.open(picture()).ask(QUESTION).token_ids == tokens[:1]
    # Without one in generation_config it is the tokenizer's, <|im_end|>.
    assert chat_model(family, eos=None).options().eos_token_ids == {2}


@pytest.mark.parametrize("way", WAYS, ids=["direct", "zoomed"])
def test_an_abandoned_stream_does_not_disturb(
    session: qzoom.ImageSession, way: dict[str, Any]
) -> None:
    whole = session.ask(QUESTION, **LONG, **way)
    stream = session.ask("how many signs are there?", stream=True, **LONG, **way)
    next(stream)
    next(stream)
    assert session.ask(QUESTION, **LONG, **way).token_ids == whole.token_ids
    with pytest.raises(QZoomError, match="newer question"):
        list(stream)
    assert stream.answer is None
    assert session.ask(QUESTION, **LONG, **way).token_ids == whole.token_ids


def test_a_stream_takes_over_from_another(session: qzoom.ImageSession) -> None:
    whole = session.ask(QUESTION, **LONG)
    waiting = session.ask(QUESTION, stream=True, **LONG)
    running = session.ask(QUESTION, stream=True, **LONG)
    next(running)
    # A stream starts when it is first read; only then is it the newer question.
    assert "".join(waiting) == whole.text
    with pytest.raises(QZoomError, match="newer question"):
        next(running)


def test_sampling_repeats_with_a_seed(session: qzoom.ImageSession) -> None:
    warm: dict[str, Any] = {"temperature": 1.5, "top_p": 0.95, "top_k": 50, **LONG}
    first = session.ask(QUESTION, seed=11, **warm)
    again = "".join(session.ask(QUESTION, seed=11, stream=True, **warm))
    other = session.ask(QUESTION, seed=12, **warm)
    assert again == first.text
    assert other.token_ids != first.token_ids
    greedy = session.ask(QUESTION, temperature=0, **LONG)
    assert greedy.token_ids == session.ask(QUESTION, seed=5, **LONG).token_ids
