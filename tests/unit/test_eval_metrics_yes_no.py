"""Replies to yes-or-no questions, by each harness and as one would expect; rates of them."""

from __future__ import annotations

import pytest

from qzoom.eval.metrics.rates import rates_of
from qzoom.eval.metrics.yes_no import among_words, at_start, exactly, stated


@pytest.mark.parametrize(
    ("reply", "strict", "pope", "mme", "vlmevalkit"),
    [
        ("Yes", "yes", "yes", "yes", "yes"),
        (" no\n", "no", "no", "no", "no"),
        ("Yes.", "yes", None, "yes", "yes"),
        ("No, there is none", "no", None, "no", "no"),
        ("**Yes**", "yes", None, None, None),
        ("The answer is yes", "yes", None, None, "yes"),
        ("Yes: it is", "yes", None, "yes", None),
        ("yes or no", None, None, "yes", None),
        ("Not sure", None, None, "no", None),
        ("I know", None, None, None, None),
        ("know", None, None, "no", None),
        ("Yesterday", None, None, "yes", None),
        ("y", None, None, "yes", None),
        ("N.", None, None, "no", None),
        ("x", None, None, None, None),
        ("There is no dog", None, None, None, "no"),
        ("", None, None, None, None),
    ],
)
def test_what_a_reply_says(
    reply: str, strict: str | None, pope: str | None, mme: str | None, vlmevalkit: str | None
) -> None:
    assert stated(reply) == strict
    assert exactly(reply) == pope
    assert at_start(reply) == mme
    assert among_words(reply) == vlmevalkit


def test_rates_by_hand() -> None:
    pairs = [("yes", "yes"), ("yes", "yes"), ("yes", "no"), ("yes", None), ("no", "yes")]
    pairs += [("no", "no"), ("no", None)]
    found = rates_of(pairs)
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == pytest.approx(2 / 4)
    assert found.f1 == pytest.approx(4 / 7)
    lenient = rates_of(pairs, count_silence=False)
    assert lenient.recall == pytest.approx(2 / 3)
    assert lenient.f1 == pytest.approx(2 / 3)


def test_rates_of_nothing_are_zero() -> None:
    assert rates_of([]) == (0, 0, 0)
    assert rates_of([("no", "no")]) == (0, 0, 0)
