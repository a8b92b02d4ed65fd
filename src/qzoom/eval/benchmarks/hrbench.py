"""HR-Bench 4K and 8K: each question is asked four times, its options rotated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from qzoom.eval.benchmarks.base import Benchmark, Scored, by_category, mean_score
from qzoom.eval.benchmarks.cells import image_key
from qzoom.eval.benchmarks.choices import (
    Finder,
    answer_letter,
    column_options,
    listed,
    scored_by,
    vlmevalkit_prompt,
)
from qzoom.eval.benchmarks.tables import TableRow, rows_at, samples_of
from qzoom.eval.metrics.choice_letter import stated_letter
from qzoom.eval.metrics.choice_vlmevalkit import inferred_letter, inferred_letter_of_lmms_eval
from qzoom.eval.samples import Sample, Scoring

ROTATIONS: Final = 4
_FINDERS: Final[Mapping[Scoring, Finder]] = {
    "lmms-eval": lambda reply, options: inferred_letter_of_lmms_eval(reply.strip(), options),
    "vlmevalkit": inferred_letter,
    "strict": stated_letter,
}


def _read(path: Path, size: str) -> Iterator[Sample]:
    return samples_of(rows_at(path, split=f"hrbench_{size}", stem=f"hr_bench_{size}"), _sample)


def _sample(row: TableRow) -> Sample:
    options, image = column_options(row), row.image()
    return Sample(
        row.text("index"),
        image_key(image),
        (image,),
        row.text("question"),
        (answer_letter(row, "answer", options),),
        row.text("category"),
        options,
        {"cycle": row.text("cycle_category")},
    )


def _prompt(sample: Sample, scoring: Scoring) -> str:
    if scoring == "vlmevalkit":
        return vlmevalkit_prompt(sample.question, sample.options)
    shown = f"{sample.question.strip()}\n{listed(sample.options)}"
    return shown + "Answer the option letter directly."


def _summarize(scored: Sequence[Scored], scoring: Scoring) -> dict[str, float]:
    """Means over the rotations, which are no circular scores; `unmatched` is for a judge.

    `unmatched` is the share of replies in which no letter was found; harnesses ask a judge about
    them, and count them as wrong without one. `circular`, of complete questions: all four right.
    """
    cycles = len(_cycles(scored))
    found = {"average": _over_cycles(scored, cycles)}
    for category, group in sorted(by_category(scored).items()):
        # VLMEvalKit divides by all rotations, also where one has no question of the category.
        count = cycles if scoring == "vlmevalkit" else len(_cycles(group))
        found[category] = _over_cycles(group, count)
    if scoring == "vlmevalkit":
        found |= {name: mean_score(group) for name, group in _cycles(scored).items()}
    if scoring == "strict" and (circular := _circular(scored)) is not None:
        found["circular"] = circular
    letters = [_FINDERS[scoring](each.prediction, each.sample.options) for each in scored]
    return found | {"unmatched": letters.count(None) / len(letters)}


def _cycles(scored: Sequence[Scored]) -> dict[str, list[Scored]]:
    groups: dict[str, list[Scored]] = {}
    for each in scored:
        groups.setdefault(str(each.sample.extra["cycle"]), []).append(each)
    return groups


def _over_cycles(scored: Sequence[Scored], count: int) -> float:
    return sum(map(mean_score, _cycles(scored).values())) / count


def _circular(scored: Sequence[Scored]) -> float | None:
    questions: dict[tuple[str, str], list[Scored]] = {}
    for each in scored:
        questions.setdefault((each.sample.image_key, each.sample.question), []).append(each)
    whole = [group for group in questions.values() if len(_cycles(group)) == ROTATIONS]
    right = [all(each.score == 1 for each in group) for group in whole]
    return sum(right) / len(right) if right else None


def _benchmark(size: str) -> Benchmark:
    return Benchmark(
        f"hrbench{size}",
        f"HR-Bench {size.upper()}",
        128,
        partial(_read, size=size),
        _prompt,
        scored_by(_FINDERS),
        _summarize,
        ("DreamMr/HR-Bench",),
    )


BENCHMARKS: Final[dict[str, Benchmark]] = {f"hrbench{s}": _benchmark(s) for s in ("4k", "8k")}
