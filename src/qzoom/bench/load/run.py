"""Sending traffic: by arrivals that do not wait for answers, or by users who do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from qzoom.bench.load.client import Outcome, ask
from qzoom.errors import ConfigError

Bodies = Iterator[dict[str, Any]]


async def open_loop(
    url: str, key: str | None, bodies: Bodies, times_s: list[float]
) -> tuple[list[Outcome], float]:
    """Send each request at its time, however the server keeps up; outcomes and seconds taken."""
    async with _client(url, key) as client:
        began = time.perf_counter()
        tasks = []
        for due_s in times_s:
            await asyncio.sleep(max(0.0, due_s - (time.perf_counter() - began)))
            tasks.append(asyncio.create_task(ask(client, next(bodies))))
        outcomes = await asyncio.gather(*tasks)
        return outcomes, time.perf_counter() - began


async def closed_loop(
    url: str, key: str | None, bodies: Bodies, count: int, users: int
) -> tuple[list[Outcome], float]:
    """Let users ask one question after another; outcomes and seconds taken."""
    async with _client(url, key) as client:
        left = iter(range(count))
        outcomes: list[Outcome] = []

        async def user() -> None:
            for _ in left:
                outcomes.append(await ask(client, next(bodies)))

        began = time.perf_counter()
        await asyncio.gather(*(user() for _ in range(users)))
        return outcomes, time.perf_counter() - began


async def served_name(url: str, key: str | None) -> str:
    """What an endpoint calls its first model.

    Raises:
        ConfigError: when it does not say.
    """
    async with _client(url, key) as client:
        try:
            response = await client.get("/models")
            response.raise_for_status()
            return str(response.json()["data"][0]["id"])
        except (httpx.HTTPError, ValueError, LookupError) as error:
            reason = type(error).__name__
            raise ConfigError(f"{url}/models names no model ({reason}); is it up?") from None


@asynccontextmanager
async def _client(url: str, key: str | None) -> AsyncIterator[httpx.AsyncClient]:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    timeout = httpx.Timeout(600.0)
    async with httpx.AsyncClient(
        base_url=url, headers=headers, limits=limits, timeout=timeout, trust_env=False
    ) as client:
        yield client
