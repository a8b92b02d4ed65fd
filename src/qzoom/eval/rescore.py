"""Stored predictions scored again under another scoring, without a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qzoom.data.files import replacing
from qzoom.errors import DataError
from qzoom.eval.benchmarks.base import Benchmark
from qzoom.eval.rows import ResultRow
from qzoom.eval.samples import Scoring
from qzoom.labels.jsonl import encode_row, same_settings, settings_of


def rescored(row: ResultRow, benchmark: Benchmark, scoring: Scoring) -> ResultRow:
    """The row with the score that its prediction has under another scoring.

    The prediction still answers the prompt of the scoring it was asked under.
    """
    asked = row.prompted_as or row.scoring
    return replace(
        row,
        scoring=scoring,
        prompted_as=None if asked == scoring else asked,
        score=benchmark.score(row.scored().sample, row.prediction, scoring),
    )


def save_rescored(rows: Sequence[ResultRow], source: Path, target: Path) -> None:
    """Write rows to a new file; its settings say what it was made from, so that no run goes on.

    Raises:
        DataError: when there is such a file.
    """
    if target.exists():
        raise DataError(f"--out {target} exists; name a new file")
    with replacing(target, resumable=True) as file:
        for row in rows:
            file.write(encode_row(row.to_json()))
    made: dict[str, Any] = dict(settings_of(source) or {})
    same_settings(target, made | {"scoring": rows[0].scoring, "rescored_from": source.name})
