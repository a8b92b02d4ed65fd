"""When the server itself fails: nobody waits for ever, and nobody reads why."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from tests.serve.parts import CHAT, JSON, PATIENCE_S, Server, asking, http_scope

from qzoom.serve.engine.engine import Engine
from qzoom.serve.engine.jobs import Job
from qzoom.zoom.decode import Decoder


def test_a_dead_engine_is_seen_and_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    def die(_: Engine) -> None:
        raise RuntimeError("the test ends the engine")

    with Server() as broken:
        assert broken.request("GET", "/health").status == 200
        assert broken.chat().text
        with monkeypatch.context() as patch:
            patch.setattr(Engine, "_decode_step", die)
            failed = broken.chat()
        assert failed.status == 503
        assert "test ends" not in failed.error
        assert broken.state.engine.join(PATIENCE_S)
        assert broken.request("GET", "/health").status == 503
        assert broken.request("GET", "/ready").status == 503
        assert broken.chat().status == 503


def test_a_device_that_stays_broken_ends_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a device error that stays")

    with Server() as server:
        with monkeypatch.context() as patch:
            patch.setattr(Decoder, "advance", fail)
            assert server.chat().status == 500
        assert server.chat().text
        with monkeypatch.context() as patch:
            patch.setattr(Decoder, "advance", fail)
            patch.setattr(torch, "zeros", fail)
            assert server.chat().status in (500, 503)
            assert server.state.engine.join(PATIENCE_S)
        assert server.request("GET", "/health").status == 503


def test_what_nobody_foresaw_is_a_plain_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("a secret")

    with Server() as server:
        with monkeypatch.context() as patch:
            patch.setattr(server.state, "prepared", fail)
            reply = server.chat()
        assert (reply.status, reply.error) == (500, "the request failed inside the server")
        assert server.chat().text


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_takes_its_job_along(
    stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asking("x", stream=stream, ignore_eos=True, max_tokens=4096)
    body = json.dumps(asked).encode()
    whole = {"type": "http.request", "body": body, "more_body": False}
    scope = http_scope("POST", CHAT, [("host", "localhost"), ("content-type", JSON)])
    jobs: list[Job] = []
    with Server() as server:
        submit = server.state.engine.submit

        def submitted(job: Job) -> None:
            jobs.append(job)
            submit(job)

        monkeypatch.setattr(server.state.engine, "submit", submitted)
        sent = server.run(scope, [whole, {"type": "http.disconnect"}])
        assert [job.cancelled for job in jobs] == [True]
        assert not [message for message in sent if message.get("status") == 500]
        assert server.chat().text


def test_a_client_that_leaves_while_it_speaks_is_no_failure() -> None:
    begun = {"type": "http.request", "body": b"{", "more_body": True}
    scope = http_scope("POST", CHAT, [("host", "localhost"), ("content-type", JSON)])
    with Server() as server:
        for received in ([], [begun]):
            sent = server.run(dict(scope), [*received, {"type": "http.disconnect"}])
            assert sent[0]["status"] == 400
        assert server.chat().text
