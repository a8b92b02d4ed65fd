"""How far a long run is: a line of text now and then, with the time that is left."""

from __future__ import annotations

import time
from collections.abc import Callable

Say = Callable[[str], None]
"""Takes a line without its end."""


class Progress:
    """Lines about a run, at most one every `every_s` seconds, and one when all is done.

    Args:
        name: What runs; every line begins with it.
        total: Things to do.
        unit: What they are called.
    """

    def __init__(
        self, name: str, total: int, say: Say, *, unit: str = "questions", every_s: float = 10.0
    ) -> None:
        self._name, self._total, self._say, self._unit = name, total, say, unit
        self._every_s, self._began, self._last = every_s, time.monotonic(), time.monotonic()

    def update(self, done: int, worked: int, note: str = "") -> None:
        """Count.

        Args:
            done: Things done, those of earlier runs included.
            worked: Things done in this run, which set its pace.
            note: Said along with the counts.
        """
        now = time.monotonic()
        if done < self._total and now - self._last < self._every_s:
            return
        self._last = now
        pace_s = (now - self._began) / max(1, worked)
        left = time_left(pace_s * (self._total - done))
        self._say(f"{self._name}: {done}/{self._total} {self._unit}{note} ({left} left)")


def time_left(seconds: float) -> str:
    """A stretch of time in minutes, or in hours and minutes."""
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


class Pulse:
    """Lines about a run of unknown length, at most one every `every_s` seconds."""

    def __init__(self, name: str, say: Say, *, every_s: float = 10.0) -> None:
        self._name, self._say, self._every_s = name, say, every_s
        self._last = time.monotonic()

    def update(self, done: int) -> None:
        """Count; `done` includes what earlier runs did."""
        now = time.monotonic()
        if now - self._last >= self._every_s:
            self._last = now
            self._say(f"{self._name}: {done} done")
