"""Decoding with members that come and go, against each of them decoding alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.tiny import FAMILIES
from tests.tiny_chat import ANY_REGION, chat_model, picture

import qzoom
from qzoom.zoom.answered import Answered
from qzoom.zoom.cache import KVStore
from qzoom.zoom.chat import question_ids
from qzoom.zoom.decode import Decoder
from qzoom.zoom.prompt import lay_out
from qzoom.zoom.requests import Run, batch_of, start
from qzoom.zoom.slots import SlotStore
from qzoom.zoom.timings import Timings

QUESTIONS = (
    "what?",
    "which bar is the tallest of all the bars in it?",
    "how many?",
    "why is it so?",
)


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest) -> qzoom.ZoomModel:
    return chat_model(request.param)


def begun(model: qzoom.ZoomModel, number: int, **options: Any) -> Run:
    """One question through its prefill; odd ones zoom."""
    image = picture(100 + 60 * number, 120, seed=number)
    grid = model.grid_of(image)
    ids = question_ids(model.require_tokenizer(), QUESTIONS[number], [grid], model.parts.ids.image)
    given: Any = {"zoom": "always" if number % 2 else "never", "eos_token_id": []} | options
    work = batch_of(
        model.parts,
        model.options(**ANY_REGION, **given),
        [lay_out(ids, [grid], model.parts.ids)],
        [[image]],
        [model.encode([image])],
    )
    return start(work, Timings(), keep_logits=True)


def alone(model: qzoom.ZoomModel, number: int, **options: Any) -> Run:
    run = begun(model, number, **options)
    run.finish()
    return run


def join(decoder: Decoder, run: Run) -> Answered:
    decoder.join(run.lanes[0], run.answered)
    return run.answered[0]


def assert_same(run: Run, expected: Run) -> None:
    (found,), (other,) = run.answered, expected.answered
    assert found.token_ids == other.token_ids
    assert found.finish_reason == other.finish_reason
    ours, theirs = torch.stack(run.logits[0]), torch.stack(expected.logits[0])
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


def test_members_that_join_and_leave_answer_as_alone(model: qzoom.ZoomModel) -> None:
    lengths = (3, 9, 70, 5)
    runs = [begun(model, number, max_new_tokens=n) for number, n in enumerate(lengths)]
    decoder = Decoder(model.parts)
    for run in runs:
        join(decoder, run)
        decoder.take()
        if decoder.members:
            decoder.advance()
    while decoder.members:
        decoder.take()
        if decoder.members:
            decoder.advance()
    for number, n in enumerate(lengths):
        assert_same(runs[number], alone(model, number, max_new_tokens=n))


def test_whoever_is_dismissed_leaves_the_others_as_they_are(model: qzoom.ZoomModel) -> None:
    decoder = Decoder(model.parts)
    warm: dict[str, Any] = {"max_new_tokens": 12, "temperature": 0.8}
    runs = [begun(model, number, seed=number, **warm) for number in range(3)]
    first, second, _ = (join(decoder, run) for run in runs)
    for step in range(12):
        decoder.take()
        if step == 1:
            decoder.dismiss([first])
        if decoder.members:
            decoder.advance()
        if step == 4:
            decoder.dismiss([second])
    assert (len(first.token_ids), len(second.token_ids)) == (2, 5)
    assert first.finish_reason is None
    assert_same(runs[2], alone(model, 2, seed=2, **warm))


def test_an_empty_decoder_takes_members_again(model: qzoom.ZoomModel) -> None:
    decoder = Decoder(model.parts)
    for number in (0, 1, 2):
        run = begun(model, number, max_new_tokens=3)
        join(decoder, run)
        for _ in range(3):
            decoder.take()
            if decoder.members:
                decoder.advance()
        assert not decoder.members
        assert_same(run, alone(model, number, max_new_tokens=3))


def test_a_row_with_a_gap_closes_up() -> None:
    store, slots = KVStore(1), SlotStore(1)
    rows = torch.arange(2 * 6.0).view(2, 1, 6, 1)
    store.update(rows, -rows, 0)
    slots.join(store, [(range(2), range(3, 6)), (range(6),)])
    keys, values = slots.rows(0)
    assert keys[0, 0, :, 0].tolist() == [0, 1, 3, 4, 5, 0]
    assert values[1, 0, :, 0].tolist() == [-6, -7, -8, -9, -10, -11]
    slots.begin_step()
    seen = slots.valid_bs()
    assert seen is not None
    assert seen.sum(-1).tolist() == [6, 7]
    slots.update(torch.full((2, 1, 1, 1), 9.0), torch.full((2, 1, 1, 1), 9.0), 0)
    slots.end_step()
    assert slots.rows(0)[0][0, 0, :6, 0].tolist() == [0, 1, 3, 4, 5, 9]
    slots.keep([1])
    assert slots.rows(0)[0][0, 0, :, 0].tolist() == [6, 7, 8, 9, 10, 11, 9]
