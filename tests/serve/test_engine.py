"""The engine: answers equal those given alone, and nothing that goes wrong spreads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.serve.engine_parts import (
    PATIENCE_S,
    Watch,
    answer_in,
    events_of,
    failure_in,
    job_of,
    prepared,
    running,
)
from tests.tiny import FAMILIES
from tests.tiny_chat import ANY_REGION, chat_model, picture

import qzoom
from qzoom.serve.engine import engine
from qzoom.serve.engine.allocator import hand_back
from qzoom.serve.engine.sessions import SessionCache
from qzoom.serve.errors import ServeError
from qzoom.serve.limits import Limits
from qzoom.zoom.decode import Decoder
from qzoom.zoom.prefix import PrefixState

QUESTIONS = ("what?", "which bar is the tallest of them all?", "how many signs?", "why is it so?")
ENDLESS = 4000


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest) -> qzoom.ZoomModel:
    return chat_model(request.param)


@pytest.fixture(scope="module")
def one_model() -> qzoom.ZoomModel:
    return chat_model("qwen3_vl")


def options_of(number: int) -> dict[str, Any]:
    """Zoomed, direct and sampled answers of different lengths."""
    kinds: tuple[dict[str, Any], ...] = (
        {"zoom": "always"},
        {"zoom": "never"},
        {"zoom": "always", "temperature": 0.9, "seed": number},
        {"zoom": "never", "repetition_penalty": 1.3},
    )
    return {"max_new_tokens": 3 + 5 * (number % 4)} | kinds[number % 4]


@pytest.mark.parametrize("turn_s", [0.0, PATIENCE_S])
def test_answers_under_load_equal_those_given_alone(model: qzoom.ZoomModel, turn_s: float) -> None:
    images = [picture(120 + 70 * n, 150, seed=n) for n in range(3)]
    asked = [(images[n % 3], QUESTIONS[n % 4], options_of(n)) for n in range(12)]
    with running(model, max_batch=4, turn_s=turn_s) as watch:
        jobs = [
            watch.submit(prepared(model, image, question, f"key {n % 3}", **options))
            for n, (image, question, options) in enumerate(asked)
        ]
        watch.wait(*jobs)
    reused = 0
    for job, (image, question, options) in zip(jobs, asked, strict=True):
        given: Any = {"eos_token_id": []} | ANY_REGION | options
        alone = model.open(image).ask(question, **given)
        answer, known = answer_in(job)
        assert (answer.text, answer.token_ids) == (alone.text, alone.token_ids)
        assert (answer.usage, answer.boxes_xyxy_px) == (alone.usage, alone.boxes_xyxy_px)
        assert answer.finish_reason == alone.finish_reason == "length"
        reused += known
    assert reused == 9


@pytest.mark.parametrize(("turn_s", "together"), [(0.0, 1), (PATIENCE_S, 3)])
def test_prefills_take_turns_with_writing(
    one_model: qzoom.ZoomModel, monkeypatch: pytest.MonkeyPatch, turn_s: float, together: int
) -> None:
    advance, members = Decoder.advance, list[int]()

    def counted(decoder: Decoder) -> None:
        members.append(len(decoder.members))
        advance(decoder)

    monkeypatch.setattr(Decoder, "advance", counted)
    watch = Watch(one_model, Limits(max_batch=3, turn_s=turn_s))
    jobs = [
        watch.submit(prepared(one_model, picture(), "what?", None, max_new_tokens=100))
        for _ in range(4)
    ]
    watch.engine.start()
    watch.wait(*jobs)
    watch.engine.drain(0.0)
    assert watch.engine.join(PATIENCE_S)
    assert members[0] == together
    assert max(members) == 3


def test_no_more_is_written_at_once_than_there_are_slots_for(
    one_model: qzoom.ZoomModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [
        prepared(one_model, picture(), "what?", None, max_new_tokens=n, zoom="never")
        for n in (20, 60, 20)
    ]
    jobs = [job_of(each, one_model) for each in asked]
    advance, sizes = Decoder.advance, set[int]()

    def counted(decoder: Decoder) -> None:
        longest = max(member.most_slots for member in decoder.members)
        sizes.add(len(decoder.members) * longest)
        advance(decoder)

    monkeypatch.setattr(Decoder, "advance", counted)
    whole = asked[1].layout.length + 60
    with running(one_model, max_slots=2 * whole, turn_s=PATIENCE_S) as watch:
        for job in jobs:
            watch.engine.submit(job)
        watch.wait(*jobs)
    assert [len(answer_in(job)[0].token_ids) for job in jobs] == [20, 60, 20]
    assert max(sizes) == 2 * whole


def test_a_stop_string_ends_a_row(one_model: qzoom.ZoomModel) -> None:
    image, long = picture(), {"max_new_tokens": 24, "zoom": "never"}
    given: Any = {"eos_token_id": []} | long
    whole = one_model.open(image).ask("what?", **given).text
    stop = whole[len(whole) // 2 : len(whole) // 2 + 3]
    with running(one_model) as watch:
        job = watch.submit(prepared(one_model, image, "what?", None, stop=stop, **long))
        watch.wait(job)
        assert watch.engine.running == 0
    answer, _ = answer_in(job)
    assert answer.text == whole[: whole.index(stop)]
    assert answer.finish_reason == "stop"


def test_sessions_are_found_by_their_key_alone(one_model: qzoom.ZoomModel) -> None:
    with running(one_model) as watch:
        for key, known in (("a", False), ("b", False), ("a", True), (None, False)):
            job = watch.submit(prepared(one_model, picture(), "what?", key, max_new_tokens=2))
            watch.wait(job)
            assert answer_in(job)[1] is known
        assert len(watch.engine.sessions) == 2
        assert watch.engine.sessions.used_bytes > 0


def test_freed_memory_is_handed_back_once_in_a_rest(
    one_model: qzoom.ZoomModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, slept = list[int](), list[float]()
    monkeypatch.setattr(engine, "hand_back", lambda: given.append(len(slept)))
    monkeypatch.setattr(engine, "_NAP_S", 0.001)
    with running(one_model) as watch:
        wait = watch.engine._awake.wait
        monkeypatch.setattr(
            watch.engine._awake, "wait", lambda nap: (slept.append(nap), wait(nap))[1]
        )
        watch.wait(watch.submit(prepared(one_model, picture(), "what?", None, max_new_tokens=2)))
        slept.clear()
        given.clear()
        watch.wait_until(lambda: len(slept) > 20)
        assert len(given) <= 1
        watch.wait(watch.submit(prepared(one_model, picture(), "what?", None, max_new_tokens=2)))
        before = len(given)
        watch.wait_until(lambda: len(given) == before + 1)
    hand_back()


def test_a_cancelled_job_frees_its_row_and_no_other(one_model: qzoom.ZoomModel) -> None:
    with running(one_model) as watch:
        endless = prepared(one_model, picture(), "what?", None, max_new_tokens=ENDLESS)
        gone, stays = watch.submit(endless), watch.submit(endless)
        watch.wait_until(lambda: watch.engine.running == 2)
        watch.engine.cancel(gone)
        watch.wait(gone)
        watch.wait_until(lambda: watch.engine.running == 1)
        assert not stays.over
        assert not gone.over
        watch.engine.cancel(stays)
        watch.wait(stays)
        assert watch.engine.running == 0


def test_a_job_past_its_deadline_fails_with_its_reason(one_model: qzoom.ZoomModel) -> None:
    with running(one_model, max_batch=1) as watch:
        endless = prepared(one_model, picture(), "what?", None, max_new_tokens=ENDLESS)
        written = watch.submit(endless, seconds=1.0)
        waiting = watch.submit(endless, seconds=0.0)
        watch.wait(written, waiting)
        last = watch.submit(replace(endless, options=one_model.options(max_new_tokens=1)))
        watch.wait(last)
    assert {failure_in(job).status for job in (written, waiting)} == {504}
    answer_in(last)


def test_a_full_queue_says_so(one_model: qzoom.ZoomModel) -> None:
    with running(one_model, max_batch=1, max_queue=2) as watch:
        endless = prepared(one_model, picture(), "what?", None, max_new_tokens=ENDLESS)
        jobs = [watch.submit(endless)]
        watch.wait_until(lambda: watch.engine.running == 1)
        jobs += [watch.submit(endless), watch.submit(endless)]
        with pytest.raises(ServeError, match="queue is full") as refused:
            watch.submit(endless)
        assert refused.value.status == 503
        assert refused.value.headers == {"Retry-After": "1"}
        for job in jobs:
            watch.engine.cancel(job)
        watch.wait(*jobs)


def test_images_under_way_are_bounded_in_memory(one_model: qzoom.ZoomModel) -> None:
    endless = prepared(one_model, picture(200, 100), "what?", None, max_new_tokens=ENDLESS)
    assert endless.image_bytes == 60_000
    with running(one_model, max_pending_bytes=100_000) as watch:
        watch.submit(endless)
        with pytest.raises(ServeError, match="large images"):
            watch.submit(endless)


def test_a_prefill_that_fails_takes_nobody_along(
    one_model: qzoom.ZoomModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = prepared(one_model, picture(), "what?", "shared", max_new_tokens=6)
    # More cells than the picture has: the model cannot place them.
    other = prepared(one_model, picture(420, 300), "what?", "shared", max_new_tokens=6)
    broken = replace(other, images=[picture(90, 90)])
    with running(one_model) as watch:
        jobs = [watch.submit(ready) for ready in (broken, good, good)]
        watch.wait(*jobs)
    error = failure_in(jobs[0])
    assert (error.status, error.message) == (500, "the request failed inside the server")
    (first, known), (second, again) = answer_in(jobs[1]), answer_in(jobs[2])
    assert (known, again) == (False, True)
    assert first.token_ids == second.token_ids


def test_a_row_that_joins_half_takes_nobody_along(
    one_model: qzoom.ZoomModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = (
        prepared(one_model, picture(), "what?", "kept", max_new_tokens=n) for n in (ENDLESS, 6)
    )
    put, failures = SessionCache.put, iter([MemoryError()])

    def sometimes(cache: SessionCache, key: str, state: PrefixState) -> None:
        for error in failures:
            raise error
        put(cache, key, state)

    monkeypatch.setattr(SessionCache, "put", sometimes)
    with running(one_model) as watch:
        jobs = [watch.submit(ready) for ready in asked]
        watch.wait(*jobs)
    assert failure_in(jobs[0]).status == 500
    assert jobs[0].answered is not None
    assert jobs[0].answered.token_ids == []
    answer_in(jobs[1])


def test_a_decoding_step_that_fails_leaves_a_working_engine(
    one_model: qzoom.ZoomModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready, advance = (
        prepared(one_model, picture(), "what?", None, max_new_tokens=6),
        Decoder.advance,
    )
    failures = iter([RuntimeError("out of memory at 0x7f")])

    def sometimes(decoder: Decoder) -> None:
        for error in failures:
            raise error
        advance(decoder)

    monkeypatch.setattr(Decoder, "advance", sometimes)
    with running(one_model) as watch:
        first = watch.submit(ready)
        watch.wait(first)
        second = watch.submit(ready)
        watch.wait(second)
    assert "0x" not in failure_in(first).message
    answer_in(second)


def test_text_that_fails_is_one_job_s_trouble(
    one_model: qzoom.ZoomModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = prepared(one_model, picture(), "what?", None, max_new_tokens=12)
    with running(one_model) as watch:
        bad, good = job_of(ready, one_model), job_of(ready, one_model)

        def push(token: int) -> str:
            raise ValueError("no such token")

        monkeypatch.setattr(bad.text, "push", push)
        watch.engine.submit(bad)
        watch.engine.submit(good)
        watch.wait(bad, good)
    assert failure_in(bad).status == 500
    answer_in(good)


def test_draining_finishes_what_it_can_and_fails_the_rest(one_model: qzoom.ZoomModel) -> None:
    short = prepared(one_model, picture(), "what?", None, max_new_tokens=4)
    endless = prepared(one_model, picture(), "what?", None, max_new_tokens=ENDLESS)
    with running(one_model, max_batch=2) as watch:
        jobs = [watch.submit(ready) for ready in (short, endless, endless, endless)]
        watch.wait(jobs[0])
        watch.engine.drain(0.2)
        with pytest.raises(ServeError, match="stopping"):
            watch.submit(short)
        watch.wait(*jobs)
        assert watch.engine.join(10.0)
    answer_in(jobs[0])
    assert {failure_in(job).status for job in jobs[1:]} == {503}
    assert all(job.over and not events_of(job) for job in jobs)


def test_the_cache_keeps_to_its_budget(one_model: qzoom.ZoomModel) -> None:
    def state() -> PrefixState:
        found = PrefixState.empty(one_model.parts, 4, reused=True)
        found.trunk.update(torch.zeros(1, 2, 4, 16), torch.zeros(1, 2, 4, 16), 0)
        return found

    size = state().size_bytes
    assert size > 0
    cache = SessionCache(2 * size)
    for key in ("a", "b"):
        cache.put(key, state())
    taken = cache.take("a")
    assert taken is not None
    assert "a" not in cache
    cache.put("a", taken)
    cache.put("c", state())
    assert [key in cache for key in "abc"] == [True, False, True]
    assert cache.used_bytes == 2 * size
    small = SessionCache(size - 1)
    small.put("a", state())
    assert len(small) == 0
    assert small.take(None) is None
