"""TextVQA, validation: photographs with text, scored by the votes of ten people.

Read are the hub's parquet shards, VLMEvalKit's TSV, and TextVQA_0.5.1_val.json (name the file)
beside train_images/.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from qzoom.eval.benchmarks.answering import SHORT_ANSWER, points, sample_of
from qzoom.eval.benchmarks.base import Benchmark, Scored, mean_score
from qzoom.eval.benchmarks.tables import TableRow, rows_at
from qzoom.eval.metrics.vqa_accuracy import vqa_accuracy
from qzoom.eval.samples import Sample, Scoring

# lmms-eval cuts a reply here.
_STOP: Final = "ASSISTANT:"


def _read(path: Path) -> Iterator[Sample]:
    for row in rows_at(path, split="validation", stem="TextVQA_VAL"):
        id = row.optional_text("question_id") or row.text("index")
        yield sample_of(row, id, _image(row))


def _image(row: TableRow) -> bytes | Path:
    if "image" not in row.fields and (name := row.optional_text("image_id")):
        return row.file(f"train_images/{name}.jpg")
    return row.image()


def _prompt(sample: Sample, scoring: Scoring) -> str:
    """lmms-eval's capital letter makes all others small: "Who is JFK?" becomes "Who is jfk?"."""
    question = sample.question.capitalize() if scoring == "lmms-eval" else sample.question
    return question + SHORT_ANSWER


def _score(sample: Sample, prediction: str, scoring: Scoring) -> float:
    said = prediction.split(_STOP)[0] if scoring == "lmms-eval" else prediction
    return vqa_accuracy(said, sample.answers, scoring)


def _summarize(scored: Sequence[Scored], scoring: Scoring) -> dict[str, float]:
    if scoring == "vlmevalkit":
        return {"Overall": points(scored)}
    name = "exact_match" if scoring == "lmms-eval" else "vqa_accuracy"
    return {name: mean_score(scored)}


BENCHMARKS: Final[dict[str, Benchmark]] = {
    "textvqa": Benchmark(
        "textvqa",
        "TextVQA",
        128,  # the task names none; this is what lmms-eval's own Qwen wrappers fall back to
        _read,
        _prompt,
        _score,
        _summarize,
        ("lmms-lab-encoder/textvqa", "lmms-lab/textvqa"),
        points=frozenset({"vlmevalkit"}),
    )
}
