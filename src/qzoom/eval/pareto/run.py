"""All methods under all budgets, a slice of samples at a time, one file of rows for each point."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from qzoom.errors import ConfigError
from qzoom.eval.benchmarks.base import Benchmark
from qzoom.eval.methods.base import Method
from qzoom.eval.runner import Answering, RunPlan, samples_of
from qzoom.eval.samples import Sample

ROWS: Final = "rows"
"""Folder of the rows of all points."""


class PointKey(NamedTuple):
    """A method under a budget.

    max_cells: visual tokens of a picture, and of a crop, at most.
    """

    method: str
    max_cells: int

    def rows_file(self, folder: Path) -> Path:
        """Where its rows are."""
        return folder / ROWS / f"{self.method}-{self.max_cells}.jsonl"


def stored_points(folder: Path) -> list[PointKey]:
    """The points whose rows a folder holds; those of a method together, by budget."""
    found = []
    for path in sorted((folder / ROWS).glob("*.jsonl")):
        method, _, cells = path.stem.rpartition("-")
        if method and cells.isdecimal():
            found.append(PointKey(method, int(cells)))
    return sorted(found)


def run_points(
    benchmark: Benchmark,
    data: Path,
    methods: Mapping[PointKey, Method],
    folder: Path,
    plan: RunPlan,
    run: dict[str, Any],
    *,
    slice_size: int,
    after: Callable[[int], None] | None = None,
) -> None:
    """Answer every sample at every point; a killed run goes on where it was.

    Points take turns over slices of samples, each slice in another order, so that what slows the
    machine down for a while does not slow down one method. A point's first answer is not kept.

    Args:
        run: what rows say about versions and hardware.
        slice_size: samples of a point in turn.
        after: called after every answer with the number of those on disk.

    Raises:
        ConfigError: when pictures are kept open, or a file was made under other settings.
        DataError: as `run_benchmark`.
    """
    if plan.reuse:
        raise ConfigError("a point's times are those of single questions; leave out reuse")
    with ExitStack() as stack:
        points = [
            stack.enter_context(Answering(benchmark, method, key.rows_file(folder), plan, run))
            for key, method in methods.items()
        ]
        cold = list(points)
        for turn, samples in enumerate(
            _slices(samples_of(benchmark, data, plan.limit), slice_size)
        ):
            cold = [point for point in cold if not point.warm_up(samples)]
            first = turn % len(points)
            for point in points[first:] + points[:first]:
                point.answer(samples, _counting(points, after))


def _counting(
    points: list[Answering], after: Callable[[int], None] | None
) -> Callable[[object], None]:
    def count(_: object) -> None:
        if after is not None:
            after(sum(point.report.known + point.report.answered for point in points))

    return count


def _slices(samples: Iterator[Sample], size: int) -> Iterator[list[Sample]]:
    while found := list(islice(samples, size)):
        yield found
