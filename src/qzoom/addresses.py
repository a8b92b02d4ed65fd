"""Addresses to listen on: whether they are this machine's alone, and a socket bound to one."""

from __future__ import annotations

import ipaddress
import socket

from qzoom.errors import ConfigError


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host name or address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listening(host: str, port: int) -> socket.socket:
    """A socket that takes connections; port 0 takes a free one.

    Raises:
        ConfigError: for an address that cannot be listened on.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        family, address = found[0], found[4]
        return socket.create_server(address[:2], family=family, backlog=256)
    except OSError as error:
        reason = error.strerror or "no such address"
        raise ConfigError(f"cannot listen on {host}:{port}: {reason}") from None


def url_of(listener: socket.socket, host: str) -> str:
    """The address to give to a browser or a client."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}"
