"""What the rows of each point come to, over the samples that all of them answered."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any, Final

from qzoom.data.files import replacing
from qzoom.errors import DataError
from qzoom.eval.bootstrap import Estimate, clustered_mean
from qzoom.eval.pareto.run import PointKey
from qzoom.eval.rows import ResultRow, rows_of_one_benchmark

SAID: Final = ("hardware", "device", "threads", "dtype", "attention", "batch", "repeats")
"""What a figure's caption says about the runs."""


@dataclass(frozen=True)
class Point:
    """A method under a budget.

    score: mean over samples, with its interval; visual_tokens: cells of pictures and crops, mean.
    samples_per_s: one after the other, pictures already decoded.
    """

    key: PointKey
    score: Estimate
    visual_tokens: float
    source_tokens: float
    zoomed: float
    samples_per_s: float
    median_s: float
    decode_s: float

    def to_json(self) -> dict[str, Any]:
        """As a line of points.csv."""
        return {
            "method": self.key.method,
            "max_cells": self.key.max_cells,
            "samples": self.score.samples,
            "pictures": self.score.clusters,
            "score": round(self.score.mean, 4),
            "score_low": round(self.score.low, 4),
            "score_high": round(self.score.high, 4),
            "visual_tokens": round(self.visual_tokens, 2),
            "source_tokens": round(self.source_tokens, 2),
            "zoomed": round(self.zoomed, 4),
            "samples_per_s": round(self.samples_per_s, 4),
            "median_s": round(self.median_s, 5),
            "decode_s": round(self.decode_s, 5),
        }


@dataclass(frozen=True)
class Points:
    """All points of a figure; they share benchmark, scoring and samples.

    run: what all rows say about where they were made; differing values are listed.
    left_out: samples that not every point has scored.
    """

    benchmark: str
    scoring: str
    model: str
    run: Mapping[str, list[Any]]
    points: tuple[Point, ...]
    left_out: int

    def of_method(self, method: str) -> list[Point]:
        """Its points by budget."""
        found = [point for point in self.points if point.key.method == method]
        return sorted(found, key=lambda point: point.key.max_cells)

    @property
    def methods(self) -> list[str]:
        """In the order of the points."""
        return list(dict.fromkeys(point.key.method for point in self.points))


def read_points(folder: Path, keys: Sequence[PointKey]) -> Points:
    """Points from their rows.

    Raises:
        LabelError: when rows of a point are missing.
        DataError: when benchmark, scoring or model differ, or no sample was scored at all points.
    """
    if not keys:
        raise DataError(f"{folder} holds no rows of a point; run 'qzoom eval pareto' first")
    rows = {key: rows_of_one_benchmark(key.rows_file(folder)) for key in keys}
    named = {_names(own[0]) for own in rows.values()}
    if len(named) > 1:
        said = " and ".join(sorted(", ".join(names) for names in named))
        raise DataError(f"{folder} holds points of {said}; give each its own folder")
    by_id = {
        key: {row.sample: row for row in own if row.score is not None} for key, own in rows.items()
    }
    shared = set.intersection(*(set(own) for own in by_id.values()))
    every = set[str]().union(*by_id.values())
    if not shared:
        raise DataError(
            f"no sample in {folder} was scored at all {len(keys)} points; go on with it"
        )
    points = tuple(
        _point(key, [row for id, row in own.items() if id in shared]) for key, own in by_id.items()
    )
    benchmark, scoring, model = named.pop()
    run = _run([row for own in rows.values() for row in own])
    return Points(benchmark, scoring, model, run, points, len(every) - len(shared))


def write_csv(points: Sequence[Point], path: Path) -> None:
    """One line for each point."""
    text = io.StringIO()
    lines = [point.to_json() for point in points]
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    with replacing(path, resumable=True) as file:
        file.write(text.getvalue().encode())


def _point(key: PointKey, rows: Sequence[ResultRow]) -> Point:
    scores = [row.score for row in rows if row.score is not None]
    return Point(
        key,
        clustered_mean(scores, [row.image_key for row in rows]),
        fmean(row.visual_tokens for row in rows),
        fmean(row.source_tokens for row in rows),
        fmean(float(row.zoomed) for row in rows),
        len(rows) / sum(row.total_s for row in rows),
        median(row.total_s for row in rows),
        fmean(row.seconds.get("decode", 0.0) for row in rows),
    )


def _names(row: ResultRow) -> tuple[str, str, str]:
    return row.benchmark, row.scoring, str(row.settings.get("model"))


def _run(rows: Sequence[ResultRow]) -> dict[str, list[Any]]:
    return {
        name: list(dict.fromkeys(row.run[name] for row in rows if name in row.run)) for name in SAID
    }
