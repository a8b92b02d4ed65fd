"""Where the time of a request goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from qzoom.steps import Steps

T = TypeVar("T")

PARTS: Final = ("encode", "prefill", "gate", "region", "crop", "zoom", "decode")


class Timings:
    """Seconds by part since the request began; a part that did not run stays at zero.

    On a GPU, work counts in the part that first waits for its result.
    """

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._seconds = dict.fromkeys(PARTS, 0.0)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time spent inside to one of `PARTS`."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - began)

    def over(self, name: str, steps: Steps[T]) -> Steps[T]:
        """The same steps; the time within them, not between them, is added to one of `PARTS`."""
        while True:
            with self.part(name):
                try:
                    next(steps)
                except StopIteration as end:
                    value: T = end.value
                    return value
            yield

    def add(self, name: str, seconds: float) -> None:
        """Add time that was measured elsewhere to one of `PARTS`."""
        self._seconds[name] += seconds

    def read(self) -> dict[str, float]:
        """Seconds of each part, and of everything so far under "total"."""
        total = time.perf_counter() - self._began
        return {name: round(s, 6) for name, s in (self._seconds | {"total": total}).items()}
