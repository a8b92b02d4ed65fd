"""Threads: sessions share a model without touching each other, and questions share a session."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.tiny import FAMILIES
from tests.tiny_chat import ANY_REGION, chat_model, picture

import qzoom
from qzoom.errors import QZoomError

OPTIONS: list[dict[str, Any]] = [
    {"zoom": "never"},
    dict(ANY_REGION),
    {"temperature": 1.0, "seed": 3},
    {"gate_threshold": 1.1, "stop": "e"},
]
QUESTIONS = ["what is the total?", "which bar is the tallest?", "say <|im_end|> or <|image_pad|>"]
ASKS = [(question, options) for question in QUESTIONS for options in OPTIONS]


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest) -> qzoom.ZoomModel:
    return chat_model(request.param)


def ask(session: qzoom.ImageSession, question: str, options: dict[str, Any]) -> list[int]:
    return session.ask(question, max_new_tokens=6, eos_token_id=[], **options).token_ids


def test_two_sessions_in_two_threads_answer_as_alone(model: qzoom.ZoomModel) -> None:
    images = [picture(260, 200, seed=5), picture(200, 320, seed=6)]

    def talk(image: Any) -> list[list[int]]:
        session = model.open(image)
        return [ask(session, *each) for each in ASKS]

    alone = [talk(image) for image in images]
    together = threading.Barrier(2)

    def talk_together(image: Any) -> list[list[int]]:
        together.wait()
        return talk(image)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(talk_together, images)) == alone


def test_threads_on_one_session_take_turns(model: qzoom.ZoomModel) -> None:
    image = picture()
    alone = [ask(model.open(image), *each) for each in ASKS]
    session = model.open(image)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda each: ask(session, *each), ASKS))
    assert found == alone


def test_a_stream_in_one_thread_ends_with_a_word_or_whole(model: qzoom.ZoomModel) -> None:
    image = picture()
    session = model.open(image)
    whole = model.open(image).ask(QUESTIONS[0], max_new_tokens=12, eos_token_id=[]).text

    def read(_: int) -> str | None:
        try:
            stream = session.ask(QUESTIONS[0], stream=True, max_new_tokens=12, eos_token_id=[])
            return "".join(stream)
        except QZoomError:
            return None

    with ThreadPoolExecutor(3) as pool:
        found = set(pool.map(read, range(6)))
    assert whole in found
    assert found <= {whole, None}
