"""The application: routes behind the key check, errors in one form."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qzoom import __version__
from qzoom.serve.auth import KeyMiddleware
from qzoom.serve.errors import ServeError, internal
from qzoom.serve.limits import MAX_HEADER_BYTES
from qzoom.serve.routes import router_of
from qzoom.serve.schemas import ChatRequest
from qzoom.serve.state import ServerState

_LOG = logging.getLogger("qzoom.serve")


def build_app(state: ServerState, keys: Sequence[str] = (), *, local_only: bool = True) -> ASGIApp:
    """The server as an ASGI application; the engine runs from startup to shutdown.

    Args:
        keys: any of them lets a request in; none at all is for a server that only this machine
            reaches.
        local_only: answer to local host names alone.
    """
    app = FastAPI(
        title="qzoom",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        # A redirect would repeat whatever host the client named.
        redirect_slashes=False,
        lifespan=_lifespan(state),
    )
    app.include_router(router_of(state))
    app.add_exception_handler(ServeError, _refused)
    app.add_exception_handler(HTTPException, _of_router)
    app.add_exception_handler(Exception, _unforeseen)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return _Guarded(KeyMiddleware(app, keys, local_only=local_only), state)


class _Guarded:
    """Bounds the head of a request, counts every response, and logs what nobody foresaw."""

    def __init__(self, app: ASGIApp, state: ServerState) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._state.metrics.responded(message["status"])
            await send(message)

        try:
            if _head_bytes(scope) > MAX_HEADER_BYTES:
                error = ServeError(431, f"path and headers are over {MAX_HEADER_BYTES} bytes")
                return await _answer(error)(scope, receive, counted)
            await self._app(scope, receive, counted)
        except Exception:
            # The application has answered with a 500 where it still could.
            _LOG.exception("a request failed")


def _head_bytes(scope: Scope) -> int:
    """Size of what the server read before the body; h11 bounds it only where it comes in pieces."""
    fields = sum(len(name) + len(value) for name, value in scope["headers"])
    return fields + len(scope["path"]) + len(scope["query_string"])


def _lifespan(state: ServerState) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def run(_: FastAPI) -> AsyncIterator[None]:
        state.engine.start()
        try:
            yield
        finally:
            state.engine.drain(0.0)
            await asyncio.to_thread(state.engine.join, state.limits.grace_s)
            state.close()

    return run


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, ServeError)
    return _answer(error)


async def _unforeseen(_: Request, __: Exception) -> Response:
    return _answer(internal())


async def _of_router(_: Request, error: Exception) -> Response:
    """Unknown paths and methods."""
    assert isinstance(error, HTTPException)
    ours = ServeError(error.status_code, str(error.detail))
    return JSONResponse(ours.body(), ours.status, error.headers)


def _answer(error: ServeError) -> Response:
    return JSONResponse(error.body(), error.status, error.headers)


def _openapi(app: FastAPI) -> dict[str, object]:
    """The schema, with the body that the chat route parses itself."""
    schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
    body = ChatRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    parts = schema.setdefault("components", {}).setdefault("schemas", {})
    parts.update(body.pop("$defs", {}))
    parts["ChatRequest"] = body
    return schema
