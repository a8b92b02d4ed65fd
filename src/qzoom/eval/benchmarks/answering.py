"""What benchmarks with free, short answers share: instructions, samples of rows, and sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from qzoom.eval.benchmarks.base import Scored, mean_score
from qzoom.eval.benchmarks.cells import image_key
from qzoom.eval.benchmarks.tables import TableRow
from qzoom.eval.samples import Sample

SHORT_ANSWER: Final = "\nAnswer the question using a single word or phrase."
ONE_WORD: Final = "\nAnswer the question with a single word."


def sample_of(
    row: TableRow,
    id: str,
    image: bytes | Path,
    *,
    question: str = "question",
    category: str = "",
    extra: Mapping[str, Any] | None = None,
) -> Sample:
    """A sample of a row whose accepted answers are a list, `answers`, or `answer` alone.

    Args:
        question: its column.
    """
    answers = next(
        (name for name in ("answers", "answer", "label") if name in row.fields), "answer"
    )
    return Sample(
        id,
        image_key(image),
        (image,),
        row.text(question),
        row.texts(answers),
        category,
        extra=extra or {},
    )


def points(scored: Sequence[Scored]) -> float:
    """Mean score out of 100, as VLMEvalKit prints it."""
    return 100 * mean_score(scored)
