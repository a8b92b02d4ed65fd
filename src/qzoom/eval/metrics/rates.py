"""Precision, recall and F1 of replies to yes-or-no questions; yes is what is looked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Rates(NamedTuple):
    """Shares; 0 where there is nothing to divide by."""

    precision: float
    recall: float
    f1: float


def rates_of(pairs: Iterable[tuple[str, str | None]], *, count_silence: bool = True) -> Rates:
    """Rates of pairs of the right answer and what was said.

    Args:
        count_silence: whether a reply that is neither misses a yes; lmms-eval counts only a "no".
    """
    found = list(pairs)
    hits = found.count(("yes", "yes"))
    false_alarms = found.count(("no", "yes"))
    misses = sum(
        right == "yes" and (said == "no" or (count_silence and said is None))
        for right, said in found
    )
    precision, recall = ratio(hits, hits + false_alarms), ratio(hits, hits + misses)
    return Rates(precision, recall, ratio(2 * precision * recall, precision + recall))


def ratio(part: float, whole: float) -> float:
    """A share; 0 of nothing."""
    return part / whole if whole else 0.0
