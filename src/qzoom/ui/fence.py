"""What of Gradio's server is reachable: the page and its events, nothing else.

Gradio brings an API, monitoring, a proxy and more. The page needs few of these routes, so all
others are refused before Gradio sees the request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from qzoom.headers import declared_bytes, names_this_machine

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_API: Final = "/gradio_api/"
_PATHS: Final = {
    "GET": frozenset(
        {"/", "/config", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt", "/logout"}
        | {_API + name for name in ("queue/data", "upload_progress", "startup-events")}
    ),
    "HEAD": frozenset({"/"}),
    "POST": frozenset({"/login"} | {_API + name for name in ("queue/join", "upload", "cancel")}),
}
_BRANCHES: Final = ("/assets/", "/static/", "/svelte/", _API + "file=", _API + "heartbeat/")
# An event holds a question and the name of a picture. Gradio itself bounds uploads.
_UPLOAD: Final = _API + "upload"
_MAX_EVENT_BYTES: Final = 64 * 1024
_HEADERS: Final = (
    # Gradio's page needs inline scripts and templates; nothing may come from or go elsewhere.
    (
        b"content-security-policy",
        b"default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
        b"style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        b"object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


class Fence:
    """Passes requests for the page on and answers 404 to all others.

    Args:
        local_only: also refuse a Host header that is not this machine, which a page elsewhere
            brings along when it had its own name point here.
    """

    def __init__(self, app: App, *, local_only: bool) -> None:
        self._app = app
        self._local_only = local_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        if self._local_only and not names_this_machine(_header(scope, b"host")):
            return await _refuse(send, 403, b"this page answers to localhost only")
        if not open_to(scope["method"], scope["path"]):
            return await _refuse(send, 404, b"not part of this page")
        if not _fits(scope):
            return await _refuse(send, 413, b"the request is too large or does not say its size")

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def open_to(method: str, path: str) -> bool:
    """Whether the page makes such requests."""
    if path in _PATHS.get(method, ()):
        return True
    # A file is named by its path on disk; Gradio serves those of its own folder alone.
    return method in ("GET", "HEAD") and path.startswith(_BRANCHES) and ".." not in path


def _fits(scope: Scope) -> bool:
    if scope["method"] != "POST" or scope["path"] == _UPLOAD:
        return True
    declared = declared_bytes(_header(scope, b"content-length"))
    return declared is not None and declared <= _MAX_EVENT_BYTES


def _header(scope: Scope, wanted: bytes) -> str:
    found = (value for name, value in scope["headers"] if name == wanted)
    return str(next(found, b"").decode("latin-1"))


async def _refuse(send: Send, status: int, text: bytes) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
