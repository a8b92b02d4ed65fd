"""Timing of contenders that take turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(frozen=True)
class Comparison:
    """Seconds of two contenders, taken in turns, and the ratio they should keep.

    target: largest ratio of the first contender's time to the second's that is accepted.
    notes: what else was seen, such as sizes and whether outputs were equal.
    """

    name: str
    seconds: Mapping[str, list[float]]
    target: float
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """Median over turns of the first contender's time by the second's."""
        return statistics.median(self.ratios)

    @property
    def ratios(self) -> list[float]:
        """Of each turn."""
        first, second = self.seconds.values()
        return [a / b for a, b in zip(first, second, strict=True)]

    @property
    def met(self) -> bool:
        """Whether the ratio is within the target."""
        return self.ratio <= self.target

    def summary(self) -> dict[str, Any]:
        """Everything as plain data."""
        times = {
            name: {"min_s": min(runs), "median_s": statistics.median(runs), "runs_s": runs}
            for name, runs in self.seconds.items()
        }
        first, second = (min(runs) for runs in self.seconds.values())
        return {
            "name": self.name,
            "seconds": times,
            "ratio": round(self.ratio, 4),
            "ratio_range": [round(min(self.ratios), 4), round(max(self.ratios), 4)],
            "ratio_of_minima": round(first / second, 4),
            "target": self.target,
            "met": self.met,
            **self.notes,
        }


CLOCKS: Mapping[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
"""Where to read the time; "cpu" leaves out what other programs take, and any waiting."""


def in_turns(
    contenders: Mapping[str, Callable[[], object]], repeats: int, clock: str, warm_up: int = 1
) -> dict[str, list[float]]:
    """Seconds of each contender; they take turns, and who begins changes every turn."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(-warm_up, repeats):
        names = list(contenders)
        for name in names if turn % 2 else reversed(names):
            taken = seconds_of(contenders[name], clock)
            if turn >= 0:
                seconds[name].append(taken)
    return seconds


def seconds_of(work: Callable[[], object], clock: str) -> float:
    """Seconds that a call takes by one of `CLOCKS`, the device's work included."""
    now = CLOCKS[clock]
    _wait()
    began = now()
    work()
    _wait()
    return now() - began


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
