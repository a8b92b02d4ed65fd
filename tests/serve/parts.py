"""The server on a toy model, called without sockets: requests as an ASGI server would hand them."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from PIL import Image
from tests.tiny_chat import chat_model, picture

from qzoom.serve.app import build_app
from qzoom.serve.limits import Limits
from qzoom.serve.state import ServerState

KEY = "correct-horse-battery-staple"
CHAT = "/v1/chat/completions"
JSON = "application/json"
# Far above what a toy needs, so that a wait that never ends fails instead of hanging.
PATIENCE_S = 60.0
# What an error must never show: addresses, places in the source or on the disk, class names.
LEAKS = re.compile(r"\b0x[0-9a-f]|Traceback|File \"|\.py\b|-packages|/etc|/usr|/home|object at")

Message = dict[str, Any]
Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Reply:
    """A whole response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The message of an error in the one form that errors have."""
        assert set(self.json) == {"error"}, self.body
        error = self.json["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["code"] == self.status
        return str(error["message"])

    @property
    def text(self) -> str:
        """The answer of a chat completion."""
        assert self.status == 200, self.body
        return str(self.json["choices"][0]["message"]["content"])


class Server:
    """The application from startup to shutdown, on a loop of its own; a context manager."""

    def __init__(
        self,
        keys: Sequence[str] = (),
        *,
        hosts: Iterable[str] = (),
        local_only: bool | None = None,
        **limits: Any,
    ) -> None:
        self.state = ServerState(chat_model("qwen3_vl"), "toy", Limits(**limits), frozenset(hosts))
        self.app = build_app(
            self.state, keys, local_only=not keys if local_only is None else local_only
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._ends = asyncio.Event()
        self._lifespan: Future[None] | None = None

    def __enter__(self) -> Server:
        self._thread.start()
        started: Future[None] = Future()
        self._lifespan = asyncio.run_coroutine_threadsafe(self._live(started), self._loop)
        started.result(PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._lifespan is not None
        self._loop.call_soon_threadsafe(self._ends.set)
        self._lifespan.result(PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _live(self, started: Future[None]) -> None:
        events = iter(("lifespan.startup", "lifespan.shutdown"))

        async def receive() -> Message:
            event = next(events)
            if event == "lifespan.shutdown":
                await self._ends.wait()
            return {"type": event}

        async def send(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                started.set_result(None)

        await self.app({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)

    def run(self, scope: Message, received: Sequence[Message]) -> list[Message]:
        """Every message that the application sends; after `received` the client stays silent."""
        call = asyncio.run_coroutine_threadsafe(_call(self.app, scope, received), self._loop)
        return call.result(PATIENCE_S)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Sequence[bytes] = b"",
        headers: Headers = (),
        *,
        host: str | None = "localhost",
        **scope: Any,
    ) -> Reply:
        """One request; several pieces of a body come one after the other."""
        pieces = [body] if isinstance(body, bytes) else list(body)
        named = [*headers] if host is None else [("host", host), *headers]
        sent = self.run(
            http_scope(method, path, named) | scope,
            [
                {"type": "http.request", "body": piece, "more_body": place + 1 < len(pieces)}
                for place, piece in enumerate(pieces)
            ],
        )
        first, *rest = sent
        assert first["type"] == "http.response.start"
        assert all(message["type"] == "http.response.body" for message in rest)
        fields = {name.decode().lower(): value.decode() for name, value in first["headers"]}
        return Reply(first["status"], fields, b"".join(message["body"] for message in rest))

    def post(self, body: Any, *headers: tuple[str, str], content: str = JSON) -> Reply:
        """A chat completion; bytes go as they are, anything else as JSON."""
        data = body if isinstance(body, (bytes, list)) else json.dumps(body).encode()
        return self.request("POST", CHAT, data, [("content-type", content), *headers])

    def chat(self, text: str = "what is the total?", *urls: str, **fields: Any) -> Reply:
        """A question about images."""
        return self.post(asking(text, *urls, **fields))


async def _call(app: Any, scope: Message, received: Sequence[Message]) -> list[Message]:
    coming, sent = iter(received), list[Message]()

    async def receive() -> Message:
        for message in coming:
            return message
        await asyncio.Event().wait()
        raise AssertionError("nobody sets this event")

    async def send(message: Message) -> None:
        await asyncio.sleep(0)
        sent.append(message)

    await app(scope, receive, send)
    return sent


def http_scope(method: str, path: str, headers: Headers = ()) -> Message:
    """A request's scope, with the path decoded as servers do."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path.partition("?")[0],
        "raw_path": path.partition("?")[0].encode(),
        "query_string": path.partition("?")[2].encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8000),
    }


def bearer(key: str) -> tuple[str, str]:
    return "authorization", f"Bearer {key}"


def asking(text: str, *urls: str, **fields: Any) -> dict[str, Any]:
    """The body of a question: images first; two tokens are enough of an answer."""
    parts: list[Any] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    content = [*parts, {"type": "text", "text": text}]
    return {"messages": [{"role": "user", "content": content}], "max_tokens": 2} | fields


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def data_url(data: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def photo() -> str:
    """An ordinary image."""
    return data_url(encoded(picture(120, 80)))


def check_refused(reply: Reply) -> str:
    """The message of a 4xx, after looking that it is one line that gives nothing away."""
    assert 400 <= reply.status < 500, (reply.status, reply.body)
    message = reply.error
    assert message
    assert message.isprintable(), message
    assert len(message) < 1000
    assert not LEAKS.search(message), message
    return message
