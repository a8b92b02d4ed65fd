"""The routes: chat completions, models, health, metrics."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import JSONResponse, PlainTextResponse, Response

from qzoom.serve.body import read_body
from qzoom.serve.engine.jobs import Job
from qzoom.serve.errors import of_validation
from qzoom.serve.replies import Replies
from qzoom.serve.schemas import ChatRequest
from qzoom.serve.state import ServerState
from qzoom.serve.waiting import EventStream, Watched, chunks, whole_answer
from qzoom.zoom.text import TextTracker

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {"application/json": {}}}
    for status, text in (
        (400, "the request cannot be answered as it is"),
        (401, "no valid key"),
        (403, "not a local host name, on a server without keys"),
        (404, "no such model"),
        (408, "the body came too slowly"),
        (413, "the body is too large"),
        (415, "not JSON"),
        (503, "busy or stopping; see Retry-After"),
        (504, "not answered in time"),
    )
}


def router_of(state: ServerState) -> APIRouter:
    """All routes, on the state of one server."""
    router = APIRouter()
    body = {"schema": {"$ref": "#/components/schemas/ChatRequest"}}
    router.add_api_route(
        "/v1/chat/completions",
        _Chat(state),
        methods=["POST"],
        responses=_ERRORS,
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": body}}},
        response_model=None,
        summary="Answer a conversation about images",
    )

    @router.get("/v1/models", responses={401: _ERRORS[401], 403: _ERRORS[403]})
    async def models() -> dict[str, Any]:
        """The one model that is served."""
        return {"object": "list", "data": [state.model_card()]}

    @router.get("/v1/models/{name:path}", responses={s: _ERRORS[s] for s in (401, 403, 404)})
    async def model(name: str) -> dict[str, Any]:
        """The model, by its name."""
        state.check_name(name)
        return state.model_card()

    @router.get("/health", responses={403: _ERRORS[403], 503: _ERRORS[503]})
    async def health() -> Response:
        """Whether the process and its engine live."""
        alive = state.engine.alive
        return JSONResponse({"status": "ok" if alive else "dead"}, 200 if alive else 503)

    @router.get("/ready", responses={403: _ERRORS[403], 503: _ERRORS[503]})
    async def ready() -> Response:
        """Whether new requests are taken."""
        takes = state.engine.alive and not state.engine.draining
        return JSONResponse({"status": "ready" if takes else "stopping"}, 200 if takes else 503)

    @router.get("/metrics", responses={401: _ERRORS[401], 403: _ERRORS[403]})
    async def metrics() -> Response:
        """Counters in Prometheus' text format."""
        return PlainTextResponse(state.metrics.text(state.engine))

    return router


class _Chat:
    """POST /v1/chat/completions."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    async def __call__(self, request: Request) -> Response:
        arrived_at, state = time.monotonic(), self._state
        with state.seat():
            asked = await self._parsed(request)
            state.check_name(asked.model)
            prepared = await state.prepared(asked, request.scope["state"]["caller"])
        text = TextTracker(state.model.require_tokenizer(), prepared.options.stop)
        expires_at = arrived_at + state.limits.deadline_s
        job = Job(prepared, text, expires_at, asyncio.get_running_loop())
        state.engine.submit(job)
        watched = Watched(job, state.metrics, arrived_at)
        heatmap = asked.qzoom is not None and asked.qzoom.return_heatmap
        replies = Replies(state.name, state.model.require_tokenizer(), heatmap=heatmap)
        if asked.stream:
            return self._streamed(asked, watched, replies)
        answer, logprobs = await whole_answer(request, state.engine, watched)
        return JSONResponse(replies.whole(answer, logprobs if asked.logprobs else None))

    async def _parsed(self, request: Request) -> ChatRequest:
        body = await read_body(request, self._state.limits)
        try:
            return await asyncio.to_thread(ChatRequest.model_validate_json, body)
        except ValidationError as error:
            raise of_validation(error) from None

    def _streamed(self, asked: ChatRequest, watched: Watched, replies: Replies) -> Response:
        state = self._state
        usage = asked.stream_options is not None and asked.stream_options.include_usage
        events = chunks(
            watched,
            replies,
            usage=usage,
            keep_alive_s=state.limits.keep_alive_s,
            metrics=state.metrics,
        )
        return EventStream(events, state.engine, watched.job)
