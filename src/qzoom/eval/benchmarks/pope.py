"""POPE: is an object in the picture, asked about absent ones that are likely, popular or random."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from qzoom.eval.benchmarks.answering import SHORT_ANSWER
from qzoom.eval.benchmarks.base import Benchmark, Scored, mean_score
from qzoom.eval.benchmarks.cells import image_key
from qzoom.eval.benchmarks.tables import TableRow, rows_at, samples_of
from qzoom.eval.benchmarks.yes_no import Finder, right_answer, scored_by
from qzoom.eval.metrics.rates import rates_of, ratio
from qzoom.eval.metrics.yes_no import among_words, exactly, stated
from qzoom.eval.samples import Sample, Scoring

_FINDERS: Final[Mapping[Scoring, Finder]] = {
    "lmms-eval": exactly,
    "vlmevalkit": among_words,
    "strict": stated,
}


def _read(path: Path) -> Iterator[Sample]:
    return samples_of(rows_at(path, split="test", stem="POPE"), _sample)


def _sample(row: TableRow) -> Sample:
    image, category = row.image(), row.optional_text("category")
    # Numbers begin anew in every category.
    number = row.optional_text("question_id")
    return Sample(
        f"{category}-{number}" if number else row.text("index"),
        row.optional_text("image_source") or image_key(image),
        (image,),
        row.text("question"),
        (right_answer(row),),
        category,
    )


def _prompt(sample: Sample, scoring: Scoring) -> str:
    if scoring == "vlmevalkit":
        return sample.question
    return sample.question.strip() + SHORT_ANSWER


def _summarize(scored: Sequence[Scored], scoring: Scoring) -> dict[str, float]:
    """VLMEvalKit: F1 first, in percent; a question counts in each of its categories."""
    if scoring != "vlmevalkit":
        return _shares(scored, scoring)
    groups: dict[str, list[Scored]] = {}
    for each in scored:
        for category in each.sample.category.split(","):
            groups.setdefault(category, []).append(each)
    found = _percents([each for group in groups.values() for each in group])
    for category, group in sorted(groups.items()):
        found |= {f"{category}/{name}": value for name, value in _percents(group).items()}
    return found


def _shares(scored: Sequence[Scored], scoring: Scoring) -> dict[str, float]:
    pairs = _pairs(scored, scoring)
    rates = rates_of(pairs, count_silence=scoring == "strict")
    # What lmms-eval calls the ratio of yes is that of the right answers, not of the replies.
    yes = [(right if scoring == "lmms-eval" else said) == "yes" for right, said in pairs]
    return {
        "accuracy": mean_score(scored),
        "precision": rates.precision,
        "recall": rates.recall,
        "f1": rates.f1,
        "yes": ratio(sum(yes), len(yes)),
    }


def _percents(scored: Sequence[Scored]) -> dict[str, float]:
    rates = rates_of(_pairs(scored, "vlmevalkit"))
    shares = {
        "f1": rates.f1,
        "accuracy": mean_score(scored),
        "precision": rates.precision,
        "recall": rates.recall,
    }
    return {name: 100 * share for name, share in shares.items()}


def _pairs(scored: Sequence[Scored], scoring: Scoring) -> list[tuple[str, str | None]]:
    finder = _FINDERS[scoring]
    return [(each.sample.answers[0], finder(each.prediction)) for each in scored]


BENCHMARKS: Final[dict[str, Benchmark]] = {
    "pope": Benchmark(
        "pope",
        "POPE",
        128,
        _read,
        _prompt,
        scored_by(_FINDERS),
        _summarize,
        ("lmms-lab-encoder/POPE", "lmms-lab/POPE"),
        points=frozenset({"vlmevalkit"}),
    )
}
