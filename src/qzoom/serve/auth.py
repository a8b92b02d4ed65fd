"""Who may ask: a key for everything but a short public list, checked before any route is chosen."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from qzoom.headers import names_this_machine
from qzoom.serve.errors import ServeError

PUBLIC: Final = frozenset({"/health", "/ready"})
"""Paths that need no key, compared as they are."""

ANYBODY: Final = "-"
"""Caller of a server without keys."""


class KeyMiddleware:
    """Lets a request through when it carries a key, or, on a server without keys, comes for a local
    host name: a page that had its own name point here would bring that name along.

    The caller's identity, a digest of its key, is left in `scope["state"]["caller"]`.
    """

    def __init__(self, app: ASGIApp, keys: Sequence[str], *, local_only: bool) -> None:
        self._app = app
        self._digests = [_digest(key.encode()) for key in keys]
        self._local_only = local_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            # Refuses the handshake of a websocket.
            return await send({"type": "websocket.close", "code": 1008})
        headers = Headers(scope=scope)
        if self._local_only and not names_this_machine(headers.get("host", "")):
            error = ServeError(403, "this server answers to localhost only", "permission_error")
            return await _refuse(error, scope, receive, send)
        caller = ANYBODY if not self._digests else self._caller(headers.get("authorization", ""))
        if caller is None and scope["path"] not in PUBLIC:
            error = ServeError(
                401, "give a valid key: Authorization: Bearer KEY", "authentication_error"
            )
            return await _refuse(error, scope, receive, send)
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send)

    def _caller(self, authorization: str) -> str | None:
        scheme, _, key = authorization.partition(" ")
        given = _digest(key.strip().encode("latin-1", "replace"))
        # Every key is compared, so that time does not tell which one was near.
        matches = [hmac.compare_digest(given, digest) for digest in self._digests]
        return given if any(matches) and scheme.lower() == "bearer" else None


def _digest(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()


async def _refuse(error: ServeError, scope: Scope, receive: Receive, send: Send) -> None:
    challenge = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
    response = JSONResponse(error.body(), error.status, {**error.headers, **challenge})
    await response(scope, receive, send)
