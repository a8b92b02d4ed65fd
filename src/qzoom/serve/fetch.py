"""Fetching an image from an allowed host, and from nowhere else.

One parser reads the URL and what it read is what is connected to; the address is resolved once,
must be public and is the one connected to; redirects are not followed.
"""

from __future__ import annotations

import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from qzoom.serve.errors import ServeError

_CHUNK: Final = 65_536
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?\Z")
_VISIBLE: Final = re.compile(r"[!-\[\]-~]+\Z")  # printable ASCII without the backslash
_MAX_URL_CHARS: Final = 4096
_UNICAST_V6: Final = ipaddress.IPv6Network("2000::/3")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")

Resolve = Callable[..., list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Target:
    """Where a URL leads: always port 443."""

    host: str
    path: str


def target_of(url: str, hosts: frozenset[str]) -> Target:
    """What an https URL names.

    Raises:
        ServeError: when it is not a plain https URL of an allowed host.
    """
    if len(url) > _MAX_URL_CHARS or not _VISIBLE.match(url):
        raise ServeError(400, "the image URL holds characters or a length that are not allowed")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ServeError(400, "the image URL cannot be read") from None
    if parts.scheme != "https":
        raise ServeError(400, "images come as data URLs, or from https URLs of allowed hosts")
    host = parts.hostname or ""
    plain = "@" not in parts.netloc and port in (None, 443) and _HOST.match(host) is not None
    if not plain or host not in hosts:
        raise ServeError(400, "the host of the image URL is not allowed")
    query = f"?{parts.query}" if parts.query else ""
    return Target(host, (parts.path or "/") + query)


def address_of(host: str, resolve: Resolve = socket.getaddrinfo) -> str:
    """The one address to connect to.

    Raises:
        ServeError: when the host has no address, or any that is not public.
    """
    try:
        found = resolve(host, 443, type=socket.SOCK_STREAM)
    # UnicodeError: a label that is too long.
    except (OSError, UnicodeError):
        raise ServeError(400, "the host of the image URL has no address") from None
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(_is_public(address) for address in addresses):
        raise ServeError(400, "the host of the image URL is not allowed")
    return addresses[0]


def fetch(
    url: str,
    hosts: frozenset[str],
    *,
    max_bytes: int,
    seconds: float,
    resolve: Resolve = socket.getaddrinfo,
    context: ssl.SSLContext | None = None,
) -> bytes:
    """Bytes behind an https URL.

    Raises:
        ServeError: for a URL that is not allowed, and when it cannot be fetched within the limits.
    """
    end = time.monotonic() + seconds
    target = target_of(url, hosts)
    address = _address_within(seconds, target.host, resolve)
    left = max(0.001, end - time.monotonic())
    connection = _Pinned(target.host, address, left, context or ssl.create_default_context())
    # Whatever the other side trickles, at the deadline the line is cut.
    watchdog = threading.Timer(left, connection.cut)
    watchdog.daemon = True
    watchdog.start()
    try:
        with closing(connection):
            body = _download(connection, target, max_bytes)
    except (OSError, http.client.HTTPException, ValueError):
        raise _failed() from None
    finally:
        watchdog.cancel()
    # A cut can look like the end of the body.
    if connection.late:
        raise _failed()
    return body


def _address_within(seconds: float, host: str, resolve: Resolve) -> str:
    """`address_of`, given up in time: a look-up cannot be cut."""
    found: Future[str] = Future()

    def look_up() -> None:
        try:
            found.set_result(address_of(host, resolve))
        except Exception as error:
            found.set_exception(error)

    threading.Thread(target=look_up, name="qzoom-resolve", daemon=True).start()
    try:
        return found.result(seconds)
    except TimeoutError:
        raise _failed() from None


class _Pinned(http.client.HTTPSConnection):
    """Connects to a given address under the host's name. late: whether it was cut."""

    def __init__(self, host: str, address: str, seconds: float, context: ssl.SSLContext) -> None:
        super().__init__(host, 443, timeout=seconds, context=context)
        self._address = address
        self._tls = context
        # Kept apart from `sock`, which is let go of before the body is read.
        self._line: ssl.SSLSocket | None = None
        self.late = False

    def connect(self) -> None:
        raw = socket.create_connection((self._address, self.port), self.timeout)
        self.sock = self._line = self._tls.wrap_socket(
            raw, server_hostname=self.host, do_handshake_on_connect=False
        )
        if self.late:
            raise TimeoutError
        self._line.do_handshake()

    def cut(self) -> None:
        """Make every read and write on the line fail."""
        self.late = True
        if self._line is not None:
            with suppress(OSError):
                # Not the TLS layer's own, which would pull it away under the reading thread.
                socket.socket.shutdown(self._line, socket.SHUT_RDWR)


def _download(connection: _Pinned, target: Target, max_bytes: int) -> bytes:
    connection.request("GET", target.path, headers={"Accept": "image/*"})
    with connection.getresponse() as response:
        if response.status != 200:
            raise ServeError(400, "the image URL did not answer with an image")
        body = bytearray()
        while chunk := response.read(_CHUNK):
            body += chunk
            if len(body) > max_bytes:
                raise ServeError(400, f"the image behind the URL is over {max_bytes} bytes")
        if response.length:
            raise _failed()
        return bytes(body)


def _failed() -> ServeError:
    return ServeError(400, "the image URL could not be fetched")


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        carried = _carried(ip)
        if carried is not None:
            return _is_public(str(carried))
        if ip not in _UNICAST_V6:
            return False
    return ip.is_global and not ip.is_multicast


def _carried(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that one of IPv6 leads to, where it does."""
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour
