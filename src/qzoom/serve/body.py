"""The body of a request, bounded in bytes and seconds before anything parses it."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from qzoom.headers import declared_bytes
from qzoom.serve.errors import ServeError
from qzoom.serve.limits import Limits


async def read_body(request: Request, limits: Limits) -> bytes:
    """The whole body of a JSON request.

    Raises:
        ServeError: 415 for another type of content, 413 over the limit, 408 when it is too slow.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    # Pages of other sites can post a form without asking first, but not JSON.
    if kind != "application/json":
        raise ServeError(415, "send JSON with Content-Type: application/json")
    declared = declared_bytes(request.headers.get("content-length", ""))
    if declared is not None and declared > limits.max_body_bytes:
        raise _too_large(limits)
    try:
        async with asyncio.timeout(limits.body_s):
            return await _gather(request, limits)
    except TimeoutError:
        raise ServeError(408, f"the body did not arrive within {limits.body_s:g} s") from None
    except ClientDisconnect:
        raise ServeError(400, "the body ended early") from None


async def _gather(request: Request, limits: Limits) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limits.max_body_bytes:
            raise _too_large(limits)
    return bytes(body)


def _too_large(limits: Limits) -> ServeError:
    return ServeError(413, f"the body is over {limits.max_body_bytes} bytes")
