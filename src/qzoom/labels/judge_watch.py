"""A judge that says now and then how far it is."""

from __future__ import annotations

import time
from collections.abc import Sequence

from qzoom.labels.judge import Decision, Judge, JudgeRequest
from qzoom.progress import Say


class Watched:
    """Another judge, with a line at most every `every_s` seconds.

    How many requests a run has is known at its end only: most pairs of answers need none.
    """

    def __init__(self, judge: Judge, say: Say, *, every_s: float = 10.0) -> None:
        self._judge, self._say, self._every_s = judge, say, every_s
        self._done, self._began, self._last = 0, time.monotonic(), time.monotonic()

    @property
    def name(self) -> str:
        """The judge's own."""
        return self._judge.name

    def decide(self, requests: Sequence[JudgeRequest]) -> list[Decision]:
        """One decision for each request."""
        decisions = self._judge.decide(requests)
        self._done += len(requests)
        now = time.monotonic()
        if now - self._last >= self._every_s:
            self._last = now
            pace_s = (now - self._began) / self._done
            self._say(f"judged {self._done} pairs of answers, {pace_s:.2f} s each")
        return decisions
