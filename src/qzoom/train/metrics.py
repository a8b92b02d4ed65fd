"""What a training reports: means of each window of steps, as JSON lines and as one line of text."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qzoom.data.files import Closing, naming, replacing
from qzoom.progress import time_left
from qzoom.train.tensorboard import ScalarWriter


class MetricsLog(Closing):
    """`metrics.jsonl` of one stage, one line every `every` steps; a resumed run continues it.

    window: values since the last line; a training keeps them in its states, so that the line
        after a stop is the one there would have been without.

    `scalars` gets the numbers of every line too, and is closed along with the file.
    """

    def __init__(
        self,
        path: Path,
        stage: str,
        start: int,
        steps: int,
        every: int,
        scalars: ScalarWriter | None = None,
    ) -> None:
        _drop_after(path, start)
        self._scalars = scalars
        self._path, self._file = path, path.open("a", encoding="utf-8")
        self._stage, self._start, self._steps, self._every = stage, start, steps, every
        self._began, self.window = time.monotonic(), Window()

    def close(self) -> None:
        """Close the files."""
        if self._scalars is not None:
            self._scalars.close()
        with naming(self._path):
            self._file.close()

    def add(
        self, done: int, values: Mapping[str, float], totals: Mapping[str, int] | None = None
    ) -> str | None:
        """Count the step that makes `done` steps; a line of text when a window is full.

        Args:
            values: of the step; the line has their means.
            totals: since the training began; the line has them as they are.

        Raises:
            OSError: When the line cannot be written.
        """
        self.window.add(values)
        if done % self._every and done != self._steps:
            return None
        pace_s = (time.monotonic() - self._began) / (done - self._start)
        means = {**self.window.means(), **(totals or {})}
        numbers = {"s_per_step": round(pace_s, 4), **means}
        line = {"stage": self._stage, "step": done, **numbers}
        with naming(self._path):
            self._file.write(json.dumps(line, allow_nan=False) + "\n")
            self._file.flush()
        if self._scalars is not None:
            self._scalars.add(done, numbers)
        return _progress(self._stage, done, self._steps, pace_s, means)


class NoLog(Closing):
    """In place of a log in processes that do not write."""

    def __init__(self) -> None:
        self.window = Window()

    def close(self) -> None:
        """Nothing is open."""

    def add(
        self, done: int, values: Mapping[str, float], totals: Mapping[str, int] | None = None
    ) -> str | None:
        """Count nothing."""
        return None


class Window:
    """Running means since the last report."""

    def __init__(self) -> None:
        self.sums: dict[str, list[float]] = {}

    def add(self, values: Mapping[str, float]) -> None:
        """Count one step; values that are not finite (nothing to count) are left out."""
        for key, value in values.items():
            if math.isfinite(value):
                self.sums.setdefault(key, []).append(value)

    def means(self) -> dict[str, float]:
        """Means of each value; starts a new window."""
        means = {key: round(sum(v) / len(v), 4) for key, v in self.sums.items()}
        self.sums.clear()
        return means


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Lines of a metrics file that are whole; none where there is no file."""
    if not path.is_file():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            continue  # cut short by a kill
    return lines


def _drop_after(path: Path, step: int) -> None:
    """Forget lines about steps that a killed run made after its last state."""
    lines = read_metrics(path)
    kept = [line for line in lines if line["step"] <= step]
    if path.is_file():
        with replacing(path, resumable=True) as file:
            file.writelines(json.dumps(line).encode() + b"\n" for line in kept)


def _progress(stage: str, done: int, steps: int, pace_s: float, means: Mapping[str, float]) -> str:
    left = time_left(pace_s * (steps - done))
    shown = " ".join(f"{key} {value:g}" for key, value in means.items())
    return f"{stage} {done}/{steps} {shown} ({left} left)\n"
