"""The real server on a loopback port: what only shows where bytes travel."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from tests.serve.parts import CHAT, KEY, PATIENCE_S, asking
from tests.tiny_chat import chat_model

from qzoom.serve import server as serving
from qzoom.serve.engine.engine import Engine
from qzoom.serve.engine.jobs import Job
from qzoom.serve.limits import Limits
from qzoom.serve.state import ServerState


class Running:
    """`serve` in a thread, on a free port."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **limits: Any) -> None:
        self.state = ServerState(chat_model("qwen3_vl"), "toy", Limits(grace_s=0, **limits))
        self._ready = threading.Event()
        self._server: serving._Server | None = None
        self._thread = threading.Thread(
            target=serving.serve, args=(self.state, "127.0.0.1", 0, [KEY], self._greet)
        )
        begin = serving._Server.startup

        async def startup(server: serving._Server, sockets: list[socket.socket]) -> None:
            # The next one made in this test wraps this function.
            self._server = self._server or server
            await begin(server, sockets)

        monkeypatch.setattr(serving._Server, "startup", startup)
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)

    def _greet(self, url: str) -> None:
        self.port = int(url.rpartition(":")[2])
        self._ready.set()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)

    def send(self, data: bytes) -> bytes:
        """What comes back until the server closes the line."""
        with self.connect() as line:
            line.sendall(data)
            line.shutdown(socket.SHUT_WR)
            return everything(line)

    def ask(self, data: bytes) -> bytes:
        """The same, without closing this side first, which says that nobody waits."""
        with self.connect() as line:
            line.sendall(data)
            return everything(line)

    def stop(self) -> None:
        assert self._server is not None
        self._server.should_exit = True
        self.join()

    def join(self) -> None:
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patch:
        server = Running(patch)
        yield server
        server.stop()


def everything(line: socket.socket) -> bytes:
    """What comes until the other side closes the line."""
    return b"".join(iter(lambda: line.recv(65_536), b""))


def head(*lines: str, method: str = "GET", path: str = "/v1/models") -> bytes:
    known = [f"{method} {path} HTTP/1.1", "Connection: close", f"Authorization: Bearer {KEY}"]
    return "\r\n".join([*known, *lines, "", ""]).encode("latin-1")


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_a_plain_request_is_answered(running: Running) -> None:
    answer = running.send(head("Host: localhost"))
    assert status(answer) == 200
    assert b"server:" not in answer.lower().partition(b"\r\n\r\n")[0]


@pytest.mark.parametrize(
    "lines",
    [
        ["Host: localhost", "X: " + "x" * 20_000],
        ["Host: localhost", *(f"X-{n}: {'x' * 100}" for n in range(300))],
        ["Host: localhost", "Host: evil.test"],
        ["Host: localhost", "Content-Length: 1", "Content-Length: 2"],
        ["Host: localhost", "Content-Length: -1"],
        ["Host: localhost", "Content-Length: " + "9" * 5000],
        ["Host: localhost", "Transfer-Encoding: gzip"],
        ["Host: localhost", "Bad Name: x"],
        ["Host: local\x00host"],
        [],
    ],
    ids=lambda lines: "; ".join(lines)[:60],
)
def test_malformed_heads_are_refused(running: Running, lines: list[str]) -> None:
    assert status(running.send(head(*lines))) in (400, 431, 501)
    assert status(running.send(head("Host: localhost"))) == 200


def test_a_websocket_is_not_opened(running: Running) -> None:
    upgrade = ["Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAA"]
    assert status(running.send(head("Host: localhost", *upgrade))) != 101


def test_a_client_that_hangs_up_during_a_stream_frees_its_place(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asking("x", stream=True, ignore_eos=True, max_tokens=4096)
    body = json.dumps(asked).encode()
    lines = ["Host: localhost", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    engine, jobs = running.state.engine, list[Job]()
    submit = engine.submit
    monkeypatch.setattr(engine, "submit", lambda job: (jobs.append(job), submit(job)))
    with running.connect() as line:
        line.sendall(head(*lines, method="POST", path=CHAT) + body)
        while b"data:" not in line.recv(65_536):
            continue
    end = time.monotonic() + PATIENCE_S
    while engine.running and time.monotonic() < end:
        time.sleep(0.01)
    (job,) = jobs
    assert job.cancelled
    assert job.answered is not None
    assert len(job.answered.token_ids) < 4096
    assert status(running.send(head("Host: localhost"))) == 200


def test_a_head_that_does_not_come_closes_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Running(monkeypatch, head_s=2.0)
    whole = head("Host: localhost").replace(b"close", b"keep-alive")
    for sent in (b"", b"GET / HTTP/1.1\r\nHost: loc", whole + b"GET / HTTP/1.1\r\nX: "):
        with server.connect() as line:
            line.sendall(sent)
            answer = everything(line)
        assert answer.startswith(b"HTTP/1.1 200") is sent.startswith(whole)
    server.stop()
    assert not server.state.engine.died


def test_a_head_that_trickles_has_no_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    server, done = Running(monkeypatch, head_s=2.0), threading.Event()

    def trickle(line: socket.socket) -> None:
        with suppress(OSError):
            line.sendall(b"GET / HTTP/1.1\r\nX: ")
            while not done.wait(0.05):
                line.sendall(b"x")

    with server.connect() as line:
        threading.Thread(target=trickle, args=(line,)).start()
        with suppress(ConnectionResetError):
            assert line.recv(65_536) == b""
        done.set()
    server.stop()


def test_a_long_answer_outlives_the_time_for_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Running(monkeypatch, head_s=2.0)
    listed = server.state.model_card

    def slowly() -> dict[str, Any]:
        time.sleep(2.5)
        return listed()

    monkeypatch.setattr(server.state, "model_card", slowly)
    assert status(server.ask(head("Host: localhost"))) == 200
    server.stop()


def test_the_process_ends_with_its_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def die(_: Engine) -> None:
        raise RuntimeError("the test ends the engine")

    server = Running(monkeypatch)
    monkeypatch.setattr(Engine, "_drop_dead", die)
    body = json.dumps(asking("x")).encode()
    lines = ["Host: localhost", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    assert status(server.ask(head(*lines, method="POST", path=CHAT) + body)) == 503
    server.join()
    assert server.state.engine.died
