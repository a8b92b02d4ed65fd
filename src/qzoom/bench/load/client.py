"""One streamed request and what it took."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass
class Outcome:
    """How a request went.

    status: of HTTP; 0 where none came. error: why there is no whole answer.
    first_s, total_s: from sending to the first text, and to the end.
    """

    status: int = 0
    text: str = ""
    error: str | None = None
    first_s: float | None = None
    total_s: float = 0.0
    new_tokens: int = 0
    zoomed: bool | None = None

    @property
    def answered(self) -> bool:
        """Whether a whole answer came."""
        return self.status == 200 and self.error is None


async def ask(client: httpx.AsyncClient, body: Mapping[str, Any]) -> Outcome:
    """Send a request with `stream: true` and read its answer to the end."""
    outcome, began = Outcome(), time.perf_counter()
    try:
        async with client.stream("POST", "/chat/completions", json=body) as response:
            outcome.status = response.status_code
            if response.status_code == 200:
                await _read(response, outcome, began)
            else:
                outcome.error = (await response.aread()).decode("utf-8", "replace")[:300]
    except httpx.HTTPError as error:
        outcome.error = type(error).__name__
    outcome.total_s = time.perf_counter() - began
    return outcome


async def _read(response: httpx.Response, outcome: Outcome, began: float) -> None:
    done = False
    async for line in response.aiter_lines():
        data = line.removeprefix("data: ")
        if data == line:
            continue
        if data == "[DONE]":
            done = True
            break
        _take(json.loads(data), outcome, began)
    if not done and outcome.error is None:
        outcome.error = "the stream ended early"


def _take(chunk: dict[str, Any], outcome: Outcome, began: float) -> None:
    if "error" in chunk:
        outcome.error = str(chunk["error"].get("message"))[:300]
    for choice in chunk.get("choices", ()):
        text = choice["delta"].get("content") or ""
        if text and outcome.first_s is None:
            outcome.first_s = time.perf_counter() - began
        outcome.text += text
    if chunk.get("usage"):
        outcome.new_tokens = int(chunk["usage"]["completion_tokens"])
    zoom = chunk.get("qzoom") or {}
    outcome.zoomed = zoom.get("zoomed", outcome.zoomed)
