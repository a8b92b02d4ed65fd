"""MME-RealWorld-Lite: large real pictures, five options, the last of which may be "not there"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from qzoom.errors import DataError
from qzoom.eval.benchmarks.base import Benchmark, Scored, mean_score
from qzoom.eval.benchmarks.cells import image_key
from qzoom.eval.benchmarks.choices import answer_letter, scored_by, shares
from qzoom.eval.benchmarks.tables import TableRow, rows_at, samples_of
from qzoom.eval.metrics import choice_lmms_eval, choice_vlmevalkit
from qzoom.eval.metrics.choice_letter import stated_letter
from qzoom.eval.samples import Sample, Scoring

_LEAD_IN: Final = "The choices are listed below:\n"
_INSTRUCTION: Final = (
    "Select the best answer to the above multiple-choice question based on the image. Respond with "
    "only the letter (A, B, C, D, or E) of the correct option."
)
_ENDINGS: Final[dict[Scoring, str]] = {
    "lmms-eval": "\nThe best answer is: ",
    "vlmevalkit": " \nThe best answer is:",
    "strict": "\nThe best answer is:",
}
_OPTION: Final = re.compile(r"\(([A-E])\)\s*(.*)", re.DOTALL)


def _read(path: Path) -> Iterator[Sample]:
    return samples_of(rows_at(path, split="train", stem="mme_realworld_lite"), _sample)


def _sample(row: TableRow) -> Sample:
    choices = _choices(row)
    options = dict(map(_option, choices))
    image = row.image("bytes" if "bytes" in row.fields else "image")
    return Sample(
        row.text("index"),
        image_key(image),
        (image,),
        row.text("question"),
        (answer_letter(row, "answer", options),),
        row.text("category"),
        options,
        {"choices": choices, "l2_category": row.text("l2-category")},
    )


def _choices(row: TableRow) -> list[str]:
    """Options as they are written, "(A) ..."; VLMEvalKit joins them behind its lead-in."""
    found = row.texts("multi-choice options")
    if len(found) == 1:
        return found[0].removeprefix(_LEAD_IN).splitlines()
    return list(found)


def _option(choice: str) -> tuple[str, str]:
    if (found := _OPTION.match(choice.strip())) is None:
        raise DataError(f"the option {choice[:60]!r} does not begin with a letter such as (A)")
    return found[1], found[2]


def _prompt(sample: Sample, scoring: Scoring) -> str:
    choices = "\n".join(sample.extra["choices"])
    return f"{sample.question} {_LEAD_IN}{choices}\n{_INSTRUCTION}{_ENDINGS[scoring]}"


def _summarize(scored: Sequence[Scored], scoring: Scoring) -> dict[str, float]:
    """Micro means: of all, of the two halves, and of each of their subjects."""
    found = shares(scored)
    for half in ("Perception", "Reasoning"):
        group = [each for each in scored if each.sample.category.startswith(half)]
        if group:
            found[half] = mean_score(group)
    return found


BENCHMARKS: Final[dict[str, Benchmark]] = {
    "mmerealworld_lite": Benchmark(
        "mmerealworld_lite",
        "MME-RealWorld-Lite",
        16,
        _read,
        _prompt,
        scored_by(
            {
                "lmms-eval": lambda reply, options: choice_lmms_eval.realworld_letter(reply),
                "vlmevalkit": lambda reply, options: choice_vlmevalkit.realworld_letter(reply),
                "strict": stated_letter,
            }
        ),
        _summarize,
        ("yifanzhang114/MME-RealWorld-lite-lmms-eval",),
    )
}
