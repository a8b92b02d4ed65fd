"""One POST of JSON with a deadline for the whole exchange and a limit on what comes back.

Plain `http.client`: no redirect is followed, so a key goes nowhere but to the host it is meant for,
and no proxy is asked.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from time import monotonic
from typing import Any, Final, Literal
from urllib.parse import SplitResult, urlsplit

from qzoom.errors import ConfigError

_CHUNK_BYTES: Final = 1 << 16


class PostFailure(Exception):
    """No usable response: "timeout", "network" (worth another try) or "refused" (not)."""

    def __init__(self, kind: Literal["timeout", "network", "refused"], detail: str) -> None:
        super().__init__(detail)
        self.kind, self.detail = kind, detail


@dataclass(frozen=True)
class Response:
    """Status, body and the wait in seconds that a "Retry-After" header asks for, if any."""

    status: int
    body: bytes
    retry_after_s: float | None


def check_url(url: str) -> SplitResult:
    """Take a URL apart.

    Raises:
        ConfigError: If it is not http or https, names no host, or carries a password, a query or
            a fragment.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigError("the base URL cannot be read; give http(s)://host/v1") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ConfigError(f"the base URL must be http(s)://host/..., got {parts.scheme}:")
    if parts.username is not None or parts.password is not None:
        raise ConfigError("the base URL holds a password; name its variable as api_key_env")
    if parts.query or parts.fragment or not url.isascii() or any(ord(char) <= 32 for char in url):
        raise ConfigError("the base URL must be ASCII without query, fragment or spaces")
    return parts


def post_json(
    url: str,
    content: Mapping[str, Any],
    headers: Mapping[str, str],
    *,
    timeout_s: float,
    max_bytes: int,
) -> Response:
    """Send JSON and read the response, all within `timeout_s` seconds.

    Raises:
        PostFailure: If nothing whole of at most `max_bytes` came back in time.
    """
    parts = check_url(url)
    deadline = _Deadline(timeout_s)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout_s)
    body = json.dumps(content).encode()
    try:
        connection.connect()
        deadline.watch(connection.sock)
        sent = {"Content-Type": "application/json", "Connection": "close", **headers}
        connection.request("POST", parts.path, body, sent)
        with connection.getresponse() as response:
            whole = _read(response, max_bytes)
        if deadline.passed:  # a body without a length ends wherever it is cut
            raise TimeoutError
        return whole
    except (OSError, HTTPException, ValueError) as error:
        if deadline.passed or isinstance(error, TimeoutError):
            raise PostFailure("timeout", f"no reply within {timeout_s:g} s") from None
        raise PostFailure("network", _one_line(error)) from None
    finally:
        deadline.cancel()
        connection.close()


def _read(response: HTTPResponse, max_bytes: int) -> Response:
    too_large = PostFailure("refused", f"the response is over {max_bytes} bytes")
    length = response.length  # None for a body in chunks, or one that ends with the connection
    if length is not None and length > max_bytes:
        raise too_large
    chunks, size = [], 0
    while (length is None or size < length) and (chunk := response.read1(_CHUNK_BYTES)):
        chunks.append(chunk)
        size += len(chunk)
        if size > max_bytes:
            raise too_large
    if length is not None and size < length:
        raise OSError(f"the response ended {length - size} bytes early")
    return Response(response.status, b"".join(chunks), _seconds(response.getheader("Retry-After")))


class _Deadline:
    """Cuts a connection when its time is up, however slowly bytes keep coming."""

    def __init__(self, timeout_s: float) -> None:
        self._end = monotonic() + timeout_s
        self._timer: threading.Timer | None = None

    @property
    def passed(self) -> bool:
        return monotonic() >= self._end

    def watch(self, sock: socket.socket) -> None:
        def cut() -> None:
            try:
                # Not the TLS layer's own, which would wait for the other side.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                return

        self._timer = threading.Timer(max(0.0, self._end - monotonic()), cut)
        self._timer.daemon = True
        self._timer.start()

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _seconds(header: str | None) -> float | None:
    return float(header) if header is not None and header.strip().isdecimal() else None


def _one_line(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:200]
