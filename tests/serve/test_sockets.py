"""The real server on a loopback port: what only shows where bytes travel."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from tests.serve.parts import CHAT, KEY, PATIENCE_S, asking
from tests.tiny_chat import chat_model

from qzoom.serve import server as serving
from qzoom.serve.engine.jobs import Job
from qzoom.serve.limits import Limits
from qzoom.serve.state import ServerState


class Running:
    """`serve` in a thread, on a free port."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.state = ServerState(chat_model("qwen3_vl"), "toy", Limits(grace_s=0))
        self._ready = threading.Event()
        self._server: serving._Server | None = None
        self._thread = threading.Thread(
            target=serving.serve, args=(self.state, "127.0.0.1", 0, [KEY], self._greet)
        )
        begin = serving._Server.startup

        async def startup(server: serving._Server, sockets: list[socket.socket]) -> None:
            self._server = server
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
            return b"".join(iter(lambda: line.recv(65_536), b""))

    def stop(self) -> None:
        assert self._server is not None
        self._server.should_exit = True
        self._thread.join(PATIENCE_S)


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patch:
        server = Running(patch)
        yield server
        server.stop()


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
