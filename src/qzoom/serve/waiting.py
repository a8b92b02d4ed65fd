"""Waiting for the engine's events, with an eye on the client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from qzoom.serve.engine.engine import Engine
from qzoom.serve.engine.jobs import Begun, Ended, Event, Failed, Job, Piece
from qzoom.serve.engine.logprobs import TokenLogprob
from qzoom.serve.errors import ServeError
from qzoom.serve.metrics import Metrics
from qzoom.serve.replies import Replies
from qzoom.zoom.answer import ZoomAnswer

CLIENT_GONE = 499


class Watched:
    """The events of one job, counted on their way."""

    def __init__(self, job: Job, metrics: Metrics, arrived_at: float) -> None:
        self.job = job
        self._metrics = metrics
        self._arrived_at = arrived_at

    async def next(self) -> Event:
        """The next event.

        Raises:
            ServeError: when the job failed.
        """
        event = await self.job.events.get()
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Begun):
            self._metrics.begun(self._arrived_at, reused=event.reused)
        if isinstance(event, Ended):
            self._metrics.answered(event.answer, self._arrived_at)
        return event


async def whole_answer(
    request: Request, engine: Engine, watched: Watched
) -> tuple[ZoomAnswer, list[TokenLogprob]]:
    """The answer once it is done.

    Raises:
        ServeError: when it fails, or the client leaves first.
    """
    gone = asyncio.create_task(_gone(request))
    done = asyncio.create_task(_gathered(watched))
    try:
        await asyncio.wait({gone, done}, return_when=asyncio.FIRST_COMPLETED)
        if done.done():
            return done.result()
        raise ServeError(CLIENT_GONE, "the client left")
    finally:
        engine.cancel(watched.job)
        for task in (gone, done):
            task.cancel()


async def chunks(
    watched: Watched,
    replies: Replies,
    *,
    usage: bool,
    keep_alive_s: float,
    metrics: Metrics,
) -> AsyncIterator[str]:
    """Server-sent events of a streamed answer; an error after the first is an event too."""
    try:
        while True:
            try:
                event = await asyncio.wait_for(watched.next(), keep_alive_s)
            except TimeoutError:
                yield ": keep-alive\n\n"
                continue
            if isinstance(event, Begun):
                yield _sse(replies.first(event))
            elif isinstance(event, Piece):
                yield _sse(replies.piece(event.text, event.logprobs))
            elif isinstance(event, Ended):
                yield _sse(replies.last(event.answer))
                if usage:
                    yield _sse(replies.usage(event.answer))
                yield "data: [DONE]\n\n"
                return
    except ServeError as error:
        metrics.responded(error.status)
        yield _sse(error.body())


class EventStream(StreamingResponse):
    """A streamed answer. However it ends, also before the first chunk was asked for, its job does
    too.
    """

    def __init__(self, events: AsyncIterator[str], engine: Engine, job: Job) -> None:
        # A proxy that gathers a stream before it passes it on would defeat it.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self._engine = engine
        self._job = job

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._engine.cancel(self._job)


async def _gathered(watched: Watched) -> tuple[ZoomAnswer, list[TokenLogprob]]:
    found: list[TokenLogprob] = []
    while True:
        event = await watched.next()
        if isinstance(event, Piece):
            found += event.logprobs
        if isinstance(event, Ended):
            return event.answer, found


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _sse(fields: dict[str, Any]) -> str:
    return f"data: {json.dumps(fields)}\n\n"
