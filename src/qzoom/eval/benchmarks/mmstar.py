"""MMStar: questions that need their picture, in six subjects of three parts each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from qzoom.eval.benchmarks.base import Benchmark, Scored, by_category, mean_score
from qzoom.eval.benchmarks.cells import image_key
from qzoom.eval.benchmarks.choices import (
    LETTER_INSTRUCTION,
    answer_letter,
    column_options,
    inline_options,
    scored_by,
    shares,
    vlmevalkit_prompt,
)
from qzoom.eval.benchmarks.tables import TableRow, rows_at, samples_of
from qzoom.eval.metrics.choice_letter import stated_letter
from qzoom.eval.metrics.choice_lmms_eval import ranked_letter
from qzoom.eval.metrics.choice_vlmevalkit import inferred_letter
from qzoom.eval.samples import Sample, Scoring

_LETTERS: Final = "ABCD"
_UNTOLD: Final = dict.fromkeys(_LETTERS, "")


def _read(path: Path) -> Iterator[Sample]:
    return samples_of(rows_at(path, split="val", stem="MMStar"), _sample)


def _sample(row: TableRow) -> Sample:
    """Options stand in the question, or in columns; of some questions they cannot be told apart."""
    text = row.text("question")
    if "A" in row.fields:
        question, options = text, column_options(row)
        shown = ", ".join(f"{letter}: {each}" for letter, each in options.items())
        text = f"{text}\nOptions: {shown}"
    else:
        question, options = inline_options(text)
    image = row.image()
    return Sample(
        row.text("index"),
        image_key(image),
        (image,),
        question,
        (answer_letter(row, "answer", options or _LETTERS),),
        row.text("category"),
        options,
        {"text": text, "l2_category": row.text("l2_category")},
    )


def _prompt(sample: Sample, scoring: Scoring) -> str:
    if scoring == "vlmevalkit":
        return vlmevalkit_prompt(sample.question, sample.options)
    text: str = sample.extra["text"].strip()
    if scoring == "strict":
        return text + LETTER_INSTRUCTION
    return text.replace(" Please answer yes or no.", "") + LETTER_INSTRUCTION.removesuffix(".")


def _summarize(scored: Sequence[Scored], scoring: Scoring) -> dict[str, float]:
    """lmms-eval weighs the parts of a subject alike, whatever their size; others the questions."""
    if scoring != "lmms-eval":
        return shares(scored)
    groups = sorted(by_category(scored).items())
    return {"average": _over_parts(scored)} | {name: _over_parts(group) for name, group in groups}


def _over_parts(scored: Sequence[Scored]) -> float:
    parts: dict[str, list[Scored]] = {}
    for each in scored:
        parts.setdefault(str(each.sample.extra["l2_category"]), []).append(each)
    return sum(map(mean_score, parts.values())) / len(parts)


BENCHMARKS: Final[dict[str, Benchmark]] = {
    "mmstar": Benchmark(
        "mmstar",
        "MMStar",
        16,
        _read,
        _prompt,
        scored_by(
            {
                "lmms-eval": lambda reply, options: ranked_letter(reply),
                "vlmevalkit": lambda reply, options: inferred_letter(reply, options or _UNTOLD),
                "strict": stated_letter,
            }
        ),
        _summarize,
        ("Lin-Chen/MMStar",),
    )
}
