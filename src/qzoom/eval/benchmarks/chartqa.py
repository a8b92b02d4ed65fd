"""ChartQA, test: charts, scored by relaxed accuracy.

Read are the hub's parquet shards, VLMEvalKit's TSV, and the published folder with test_human.json,
test_augmented.json and png/.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from qzoom.eval.benchmarks.answering import ONE_WORD, SHORT_ANSWER, points, sample_of
from qzoom.eval.benchmarks.base import Benchmark, Scored, by_category, mean_score
from qzoom.eval.benchmarks.tables import TableRow, rows_at
from qzoom.eval.metrics.relaxed import relaxed
from qzoom.eval.samples import Sample, Scoring

_PARTS: Final = ("human", "augmented")


def _read(path: Path) -> Iterator[Sample]:
    for number, row in enumerate(rows_at(path, split="test", stem="ChartQA_TEST")):
        if "imgname" in row.fields:
            name = row.text("imgname")
            image: bytes | Path = row.file(f"png/{name}")
        else:
            image = row.image()
        question = "query" if "query" in row.fields else "question"
        id = row.optional_text("index") or str(number)
        yield sample_of(row, id, image, question=question, category=_part(row))


def _part(row: TableRow) -> str:
    """Who asked: a person or a generator; empty where the file does not say."""
    said = (row.optional_text("type"), row.optional_text("split"), row.path.stem)
    return next((part for text in said for part in _PARTS if part in text), "")


def _prompt(sample: Sample, scoring: Scoring) -> str:
    return sample.question + (SHORT_ANSWER if scoring == "vlmevalkit" else ONE_WORD)


def _score(sample: Sample, prediction: str, scoring: Scoring) -> float:
    return float(any(relaxed(prediction, answer, scoring) for answer in sample.answers))


def _summarize(scored: Sequence[Scored], scoring: Scoring) -> dict[str, float]:
    parts = {name: group for name, group in by_category(scored).items() if name}
    ordered = [(name, parts[name]) for name in _PARTS if name in parts]
    if scoring == "vlmevalkit":
        return {"Overall": points(scored)} | {f"test_{n}": points(group) for n, group in ordered}
    found = {f"relaxed_{name}_split": mean_score(group) for name, group in ordered}
    return {"relaxed_overall": mean_score(scored)} | found


BENCHMARKS: Final[dict[str, Benchmark]] = {
    "chartqa": Benchmark(
        "chartqa",
        "ChartQA",
        16,
        _read,
        _prompt,
        _score,
        _summarize,
        ("lmms-lab-encoder/ChartQA", "lmms-lab/ChartQA"),
        points=frozenset({"vlmevalkit"}),
    )
}
