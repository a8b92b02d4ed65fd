"""Headers of requests that come from anybody, read strictly."""

from __future__ import annotations

import re
import sys
from typing import Final

LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""Names in a Host header that mean this machine."""
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?")
_MOST_DIGITS: Final = 18


def names_this_machine(host: str) -> bool:
    """Whether a Host header holds a local name, with or without a port, and nothing else.

    A page elsewhere that had its own name point here brings that name along.
    """
    found = _HOST.fullmatch(host)
    return found is not None and found[1].lower() in LOCAL_HOSTS


def declared_bytes(content_length: str) -> int | None:
    """The number in a Content-Length header; None where it holds anything else."""
    if not (content_length.isascii() and content_length.isdecimal()):
        return None
    # Python converts only so many digits; that many mean no size that any limit allows.
    digits = content_length.lstrip("0") or "0"
    return int(digits) if len(digits) <= _MOST_DIGITS else sys.maxsize
