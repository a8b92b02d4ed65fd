"""What the routes of one server share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from qzoom.serve.engine.engine import Engine
from qzoom.serve.engine.jobs import Prepared
from qzoom.serve.errors import ServeError, busy
from qzoom.serve.limits import Limits
from qzoom.serve.metrics import Metrics
from qzoom.serve.prepare import Preparer
from qzoom.serve.schemas import ChatRequest
from qzoom.zoom.model import ZoomModel

_SHOWN_CHARS = 80
_PREPARING_THREADS = 2


class ServerState:
    """Engine, limits and counters of one server.

    name: what clients call the model.
    """

    def __init__(
        self, model: ZoomModel, name: str, limits: Limits, hosts: frozenset[str] = frozenset()
    ) -> None:
        self.model = model
        self.name = name
        self.limits = limits
        self.metrics = Metrics()
        self.engine = Engine(model, limits)
        self._preparer = Preparer(self.engine, hosts)
        self._threads = ThreadPoolExecutor(_PREPARING_THREADS, "qzoom-prepare")
        self._started_at = int(time.time())
        self._preparing = 0

    @contextmanager
    def seat(self) -> Iterator[None]:
        """A place among the requests that are read and prepared.

        Raises:
            ServeError: 503 when they and the queue together are as many as may wait.
        """
        if self.engine.draining:
            raise busy("the server is stopping; ask another one")
        if self._preparing + self.engine.queued >= self.limits.max_queue:
            raise busy()
        self._preparing += 1
        try:
            yield
        finally:
            self._preparing -= 1

    async def prepared(self, asked: ChatRequest, caller: str) -> Prepared:
        """Decode and tokenize in a thread of a few, so that the loop stays free.

        Raises:
            ServeError: for a request that cannot be answered as it is.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._preparer, asked, caller)

    def check_name(self, name: str | None) -> None:
        """Whether a request means this model; one without a name does.

        Raises:
            ServeError: 404 for another one.
        """
        if name is not None and name != self.name:
            shown = ascii(name[:_SHOWN_CHARS])
            raise ServeError(404, f"no model {shown}; this server has {self.name!r}", param="model")

    def model_card(self) -> dict[str, Any]:
        """The model as /v1/models lists it."""
        return {
            "id": self.name,
            "object": "model",
            "created": self._started_at,
            "owned_by": "qzoom",
            "zooms": self.model.config.enabled,
        }

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
