"""Memory that was freed but not handed back to the system."""

from __future__ import annotations

import ctypes
import sys


def hand_back() -> None:
    """Let go of it where the C library can (glibc); elsewhere nothing happens."""
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
