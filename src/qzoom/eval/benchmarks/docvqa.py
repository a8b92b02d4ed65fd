"""DocVQA and InfoVQA, validation: scanned pages and infographics, scored by ANLS.

Read are the hub's parquet shards, VLMEvalKit's TSV, and the JSON files of the challenge (name the
file) beside their folder of pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from qzoom.eval.benchmarks.answering import SHORT_ANSWER, points, sample_of
from qzoom.eval.benchmarks.base import Benchmark, Scored, mean_score
from qzoom.eval.benchmarks.tables import TableRow, rows_at
from qzoom.eval.metrics.anls import anls
from qzoom.eval.samples import Sample, Scoring

_HUB_IDS: Final = ("lmms-lab-encoder/DocVQA", "lmms-lab/DocVQA")
_MAX_NEW_TOKENS: Final = 32


def _read(path: Path, config: str, stem: str) -> Iterator[Sample]:
    for row in rows_at(path, config=config, split="validation", stem=stem):
        number = row.optional_text("questionId") or row.text("index")
        yield sample_of(row, number, _image(row))


def _image(row: TableRow) -> bytes | Path:
    if "image" not in row.fields and (name := row.optional_text("image_local_name")):
        return row.file(name, f"infographicsvqa_images/{name}")
    return row.image()


def _prompt(sample: Sample, scoring: Scoring) -> str:
    return sample.question + SHORT_ANSWER


def _score(sample: Sample, prediction: str, scoring: Scoring) -> float:
    return anls(prediction, sample.answers, scoring)


def _summarize(scored: Sequence[Scored], scoring: Scoring) -> dict[str, float]:
    if scoring == "vlmevalkit":
        return {"Overall": points(scored)}
    return {"anls": mean_score(scored)}


def _benchmark(name: str, title: str, config: str, stem: str) -> Benchmark:
    read = partial(_read, config=config, stem=stem)
    return Benchmark(
        name,
        title,
        _MAX_NEW_TOKENS,
        read,
        _prompt,
        _score,
        _summarize,
        _HUB_IDS,
        points=frozenset({"vlmevalkit"}),
    )


BENCHMARKS: Final[dict[str, Benchmark]] = {
    "docvqa": _benchmark("docvqa", "DocVQA", "DocVQA", "DocVQA_VAL"),
    "infovqa": _benchmark("infovqa", "InfoVQA", "InfographicVQA", "InfoVQA_VAL"),
}
