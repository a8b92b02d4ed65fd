"""V*: small targets in large pictures.

Read are the hub's parquet shards, VLMEvalKit's TSV, and the original folder: test_questions.jsonl,
and beside every picture a JSON file that says where its targets are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from qzoom.eval.benchmarks.base import Benchmark, Scored
from qzoom.eval.benchmarks.cells import image_key
from qzoom.eval.benchmarks.choices import (
    LETTER_INSTRUCTION,
    answer_letter,
    column_options,
    inline_options,
    listed,
    scored_by,
    shares,
    vlmevalkit_prompt,
)
from qzoom.eval.benchmarks.tables import TableRow, rows_at, samples_of
from qzoom.eval.benchmarks.vstar_targets import target_boxes
from qzoom.eval.metrics.choice_letter import stated_letter
from qzoom.eval.metrics.choice_lmms_eval import vstar_letter
from qzoom.eval.metrics.choice_vlmevalkit import inferred_letter
from qzoom.eval.samples import Sample, Scoring

# lmms-eval knows no option with a parenthesis in it; it leaves such an option out.
_LMMS_OPTION: Final = re.compile(r"\([A-D]\)\s*([^()]+?)(?=\s*\([A-D]\)|$)")


def _read(path: Path) -> Iterator[Sample]:
    return samples_of(rows_at(path, split="test", stem="VStarBench"), _sample)


def _sample(row: TableRow) -> Sample:
    text = row.optional_text("text")
    if text:
        question, options = inline_options(text.rstrip().removesuffix(LETTER_INSTRUCTION))
    else:
        question, options = row.text("question"), column_options(row)
        text = "\n".join([question, *(f"({letter}) {each}" for letter, each in options.items())])
    image = row.image()
    return Sample(
        row.optional_text("question_id") or row.optional_text("index") or str(row.index),
        f"{image.parent.name}/{image.name}" if isinstance(image, Path) else image_key(image),
        (image,),
        question,
        (answer_letter(row, "label" if "label" in row.fields else "answer", options),),
        row.optional_text("category"),
        options,
        {"text": text},
        target_boxes(image) if isinstance(image, Path) else (),
    )


def _prompt(sample: Sample, scoring: Scoring) -> str:
    if scoring == "vlmevalkit":
        return vlmevalkit_prompt(sample.question, sample.options)
    if scoring == "strict":
        return f"{sample.question}\n{listed(sample.options)}".rstrip() + LETTER_INSTRUCTION
    text: str = sample.extra["text"]
    options = [found.strip() for found in _LMMS_OPTION.findall(text)]
    if options:
        lines = [f"{letter}. {each}" for letter, each in zip("ABCD", options, strict=False)]
        text = "\n".join([text.split("(A)")[0].strip(), *lines])
    return text + LETTER_INSTRUCTION


def _summarize(scored: Sequence[Scored], scoring: Scoring) -> dict[str, float]:
    points = 100.0 if scoring == "lmms-eval" else 1.0
    return {name: points * share for name, share in shares(scored).items()}


BENCHMARKS: Final[dict[str, Benchmark]] = {
    "vstar": Benchmark(
        "vstar",
        "V*",
        16,
        _read,
        _prompt,
        scored_by(
            {
                "lmms-eval": lambda reply, options: vstar_letter(reply),
                "vlmevalkit": inferred_letter,
                "strict": stated_letter,
            }
        ),
        _summarize,
        (
            "lmms-lab-encoder/vstar-bench",
            "lmms-lab/vstar-bench",
            "craigwu/vstar_bench",
            "xjtupanda/VStar_Bench",
        ),
        points=frozenset({"lmms-eval"}),
    )
}
