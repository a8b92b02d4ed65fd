"""When the server itself fails: nobody waits for ever, and nobody reads why."""

from __future__ import annotations

from typing import Any

import pytest
from tests.serve.parts import PATIENCE_S, Server

from qzoom.serve.engine.engine import Engine


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


def test_what_nobody_foresaw_is_a_plain_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("a secret")

    with Server() as server:
        with monkeypatch.context() as patch:
            patch.setattr(server.state, "prepared", fail)
            reply = server.chat()
        assert (reply.status, reply.error) == (500, "the request failed inside the server")
        assert server.chat().text
