"""Yes-or-no questions as benchmark files write them and harnesses count them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qzoom.errors import DataError
from qzoom.eval.benchmarks.tables import TableRow
from qzoom.eval.metrics.yes_no import YesNo
from qzoom.eval.samples import Sample, Scoring

Finder = Callable[[str], YesNo | None]


def right_answer(row: TableRow) -> str:
    """ "yes" or "no".

    Raises:
        DataError: when it is neither.
    """
    answer = row.text("answer").strip().strip(".").lower()
    if answer not in ("yes", "no"):
        raise DataError(f"answer is {answer[:60]!r}; it must be yes or no")
    return answer


def scored_by(finders: Mapping[Scoring, Finder]) -> Callable[[Sample, str, Scoring], float]:
    """A score that is 1 where the reply says what is right."""

    def score(sample: Sample, prediction: str, scoring: Scoring) -> float:
        return float(finders[scoring](prediction) == sample.answers[0])

    return score
