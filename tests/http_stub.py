"""An endpoint on this machine that does as a test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behaviour = Callable[["Handler", int], None]


class Handler(BaseHTTPRequestHandler):
    """Hands each request, numbered, to the behaviour under test."""

    server: Endpoint

    def do_POST(self) -> None:
        self.body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.seen.append((self.path, dict(self.headers), self.body))
            number = len(self.server.seen)
            self.server.running += 1
            self.server.most = max(self.server.most, self.server.running)
        try:
            self.server.behave(self, number)
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            with self.server.lock:
                self.server.running -= 1

    def log_message(self, *_: Any) -> None:
        return

    def give(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def say(self, text: str) -> None:
        content = {"choices": [{"message": {"role": "assistant", "content": text}}]}
        self.give(200, json.dumps(content).encode())


class Endpoint(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behave: Behaviour = lambda handler, _: handler.say("ok")
        self.seen: list[tuple[str, dict[str, str], Any]] = []
        self.base_url = f"http://127.0.0.1:{self.server_address[1]}/v1"
        self.lock = threading.Lock()
        self.running = self.most = 0

    def handle_error(self, *_: Any) -> None:
        return


@contextmanager
def serving() -> Iterator[Endpoint]:
    """An endpoint for the block."""
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
