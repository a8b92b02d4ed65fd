"""OCRBench: 1000 pictures of ten kinds, scored by whether the reply holds an answer.

Read are the hub's parquet shards, VLMEvalKit's TSV, and OCRBench.json beside its pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from qzoom.eval.benchmarks.answering import sample_of
from qzoom.eval.benchmarks.base import Benchmark, Scored, by_category, mean_score
from qzoom.eval.benchmarks.tables import TableRow, rows_at
from qzoom.eval.metrics.ocrbench import holds_answer
from qzoom.eval.samples import Sample, Scoring

_FORMULAS: Final = "Handwritten Mathematical Expression Recognition"
_FORMULA_DATASET: Final = "HME100k"
_RECOGNITION: Final = tuple(
    f"{kind} Recognition"
    for kind in (
        *("Regular Text", "Irregular Text", "Artistic Text"),
        *("Handwriting", "Digit String", "Non-Semantic Text"),
    )
)
_REST: Final = (
    "Scene Text-centric VQA",
    "Doc-oriented VQA",
    "Key Information Extraction",
    _FORMULAS,
)
_QUESTIONS: Final = 1000


def _read(path: Path) -> Iterator[Sample]:
    for number, row in enumerate(rows_at(path, split="test", stem="OCRBench")):
        kinds = ("question_type", "type", "category")
        kind = next((name for name in kinds if name in row.fields), "category")
        dataset = row.optional_text("dataset") or row.optional_text("dataset_name")
        id = row.optional_text("index") or str(number)
        extra = {"dataset": dataset} if dataset else {}
        yield sample_of(row, id, _image(row), category=row.text(kind), extra=extra)


def _image(row: TableRow) -> bytes | Path:
    if "image" not in row.fields and (name := row.optional_text("image_path")):
        return row.file(name, f"OCRBench_Images/{name}")
    return row.image()


def _prompt(sample: Sample, scoring: Scoring) -> str:
    return sample.question if scoring == "vlmevalkit" else sample.question.strip()


def _score(sample: Sample, prediction: str, scoring: Scoring) -> float:
    dataset = sample.extra.get("dataset")
    if dataset is None or scoring == "vlmevalkit":
        is_formula = sample.category == _FORMULAS
    else:
        is_formula = dataset == _FORMULA_DATASET
    return float(holds_answer(prediction, sample.answers, scoring, is_formula))


def _summarize(scored: Sequence[Scored], scoring: Scoring) -> dict[str, float]:
    """Strictly shares; as the harnesses print it points, of 1000 whatever the limit was."""
    groups = by_category(scored)
    if scoring == "strict":
        known = [kind for kind in (*_RECOGNITION, *_REST) if kind in groups]
        return {"accuracy": mean_score(scored)} | {k: mean_score(groups[k]) for k in known}
    won = {
        kind: sum(each.score or 0 for each in groups.get(kind, ()))
        for kind in (*_RECOGNITION, *_REST)
    }
    total = sum(won.values())
    parts = {"Text Recognition": sum(won[kind] for kind in _RECOGNITION)}
    if scoring == "vlmevalkit":
        parts |= {kind: won[kind] for kind in _REST}
        return {"Final Score": total, "Final Score Norm": total / 10} | parts
    return {"ocrbench_accuracy": total / _QUESTIONS} | parts | won


BENCHMARKS: Final[dict[str, Benchmark]] = {
    "ocrbench": Benchmark(
        "ocrbench",
        "OCRBench",
        128,
        _read,
        _prompt,
        _score,
        _summarize,
        ("echo840/OCRBench",),
        points=frozenset({"vlmevalkit"}),
    )
}
