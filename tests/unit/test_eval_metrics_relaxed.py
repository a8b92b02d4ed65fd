"""Relaxed accuracy, worked out by hand."""

from __future__ import annotations

import pytest

from qzoom.eval.metrics.relaxed import relaxed

SCORINGS = ("lmms-eval", "vlmevalkit", "strict")


def verdicts(said: str, answer: str) -> str:
    """ "+" or "-" for each of the scorings."""
    return "".join("+" if relaxed(said, answer, scoring) else "-" for scoring in SCORINGS)


@pytest.mark.parametrize(
    ("said", "answer", "expected"),
    [
        ("105", "100", "+++"),
        ("95", "100", "+++"),
        ("105.1", "100", "---"),
        ("-105", "-100", "+++"),
        ("-100", "100", "---"),
        ("yes", "Yes", "+++"),
        ("no", "Yes", "---"),
        ("Yes ", "Yes", "-++"),  # lmms-eval does not strip
        (" 100\n", "100", "+++"),  # but its numbers may have space around them
        ("Yes.", "Yes", "--+"),
        ("light  blue", "light blue", "--+"),
        ("100", "a hundred", "---"),
    ],
)
def test_numbers_and_texts(said, answer, expected):
    assert verdicts(said, answer) == expected


@pytest.mark.parametrize(
    ("said", "answer", "expected"),
    [("0", "0", "+++"), ("0.0", "0", "--+"), ("0%", "0", "--+"), ("0.01", "0", "---")],
)
def test_an_answer_of_zero_is_text_to_the_harnesses(said, answer, expected):
    assert verdicts(said, answer) == expected


@pytest.mark.parametrize(
    ("said", "answer", "expected"),
    [
        ("10%", "10", "--+"),
        ("10", "10%", "--+"),
        ("10%", "10%", "+++"),
        ("10.4 %", "10%", "+++"),
        ("10%", "0.1", "+++"),
        ("0.1", "10%", "+++"),
        ("0.1", "10", "---"),
        ("0.1%", "10%", "---"),
    ],
)
def test_per_cent_is_a_unit_or_a_factor(said, answer, expected):
    assert verdicts(said, answer) == expected


@pytest.mark.parametrize(
    ("said", "answer", "expected"),
    [
        ("1,000", "1000", "--+"),
        ("10,00", "1000", "---"),
        ("5.", "5", "+++"),
        (".5", "0.5", "+++"),
        ("1_0", "10", "++-"),  # a number to Python alone
        ("1e1", "10", "++-"),
        ("nan", "10", "---"),
        ("10", "inf", "---"),
    ],
)
def test_how_numbers_are_written(said, answer, expected):
    assert verdicts(said, answer) == expected
