"""MME: two yes-or-no questions about every picture, the answer to one being yes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from qzoom.eval.benchmarks.answering import SHORT_ANSWER
from qzoom.eval.benchmarks.base import Benchmark, Scored, by_category
from qzoom.eval.benchmarks.cells import image_key
from qzoom.eval.benchmarks.tables import TableRow, rows_at, samples_of
from qzoom.eval.benchmarks.yes_no import right_answer, scored_by
from qzoom.eval.metrics.yes_no import among_words, at_start, stated
from qzoom.eval.samples import Sample, Scoring

_COGNITION: Final = (
    "commonsense_reasoning",
    "numerical_calculation",
    "text_translation",
    "code_reasoning",
)
_HALVES: Final[dict[Scoring, tuple[str, str]]] = {
    "lmms-eval": ("perception", "cognition"),
    "vlmevalkit": ("perception", "reasoning"),
    "strict": ("perception", "cognition"),
}


def _read(path: Path) -> Iterator[Sample]:
    asked: Counter[str] = Counter()
    return samples_of(rows_at(path, split="test", stem="MME"), lambda row: _sample(row, asked))


def _sample(row: TableRow, asked: Counter[str]) -> Sample:
    """`asked` counts the questions of a picture: the two of a pair have one id."""
    image = row.image()
    named = row.optional_text("question_id") or row.optional_text("image_path")
    key = named or image_key(image)
    asked[key] += 1
    return Sample(
        f"{key}-{asked[key]}",
        key,
        (image,),
        row.text("question"),
        (right_answer(row),),
        row.text("category"),
    )


def _prompt(sample: Sample, scoring: Scoring) -> str:
    if scoring == "vlmevalkit":
        return sample.question
    return sample.question.strip().replace(" Please answer yes or no.", "") + SHORT_ANSWER


def _summarize(scored: Sequence[Scored], scoring: Scoring) -> dict[str, float]:
    """Points: percent of questions plus percent of pictures with both right, category by category.

    Pictures without a pair of answers are left out, and counted as `unpaired`.
    """
    points: dict[str, float] = {}
    unpaired = 0
    for category, group in sorted(by_category(scored).items()):
        pairs, rest = _pairs(group)
        unpaired += rest
        if pairs:
            right = sum(map(sum, pairs)) / (2 * len(pairs))
            both = sum(sum(pair) == 2 for pair in pairs) / len(pairs)
            points[category] = 100 * (right + both)
    cognition = sum(value for name, value in points.items() if name in _COGNITION)
    total, (first, second) = sum(points.values()), _HALVES[scoring]
    found = {"total": total, first: total - cognition, second: cognition} | points
    return found | ({"unpaired": float(unpaired)} if unpaired else {})


def _pairs(scored: Sequence[Scored]) -> tuple[list[list[float]], int]:
    """Scores of both questions by picture, and the number of pictures that have not two."""
    pictures: dict[str, list[float]] = {}
    for each in scored:
        pictures.setdefault(each.sample.image_key, []).append(each.score or 0.0)
    pairs = [scores for scores in pictures.values() if len(scores) == 2]
    return pairs, len(pictures) - len(pairs)


BENCHMARKS: Final[dict[str, Benchmark]] = {
    "mme": Benchmark(
        "mme",
        "MME",
        16,
        _read,
        _prompt,
        scored_by({"lmms-eval": at_start, "vlmevalkit": among_words, "strict": stated}),
        _summarize,
        ("lmms-lab-encoder/MME", "lmms-lab/MME"),
        points=frozenset(_HALVES),
    )
}
