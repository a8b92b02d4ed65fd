"""Whether a reply holds an answer, worked out by hand."""

from __future__ import annotations

import pytest

from qzoom.eval.metrics.ocrbench import holds_answer

SCORINGS = ("lmms-eval", "vlmevalkit", "strict")


def verdicts(said: str, answer: str, is_formula: bool = False) -> str:
    """ "+" or "-" for each of the scorings."""
    return "".join(
        "+" if holds_answer(said, [answer], scoring, is_formula) else "-" for scoring in SCORINGS
    )


@pytest.mark.parametrize(
    ("said", "answer", "expected"),
    [
        ("It says STOP.", "stop", "+++"),
        ("Grand\nHotel", "grand hotel", "+++"),
        ("\n word ", "word", "+++"),
        ("go", "stop", "---"),
        ("nonstop", "stop", "++-"),
        ("in 1955", "5", "++-"),
        ("2.5", "5", "++-"),
        ("5.00", "5", "++-"),
        ("the total is 5.", "5", "+++"),
        ("($5)", "$5", "+++"),
        ("anything", "", "++-"),
        ("a  b", "a b", "--+"),
    ],
)
def test_characters_or_words(said, answer, expected):
    assert verdicts(said, answer) == expected


def test_full_width_characters_are_folded_by_lmms_eval():
    assert verdicts("\uff21\uff22\u3000\uff11", "ab 1") == "+-+"


@pytest.mark.parametrize(
    ("said", "answer", "expected"),
    [
        ("$x ^ { 2 }$", "x^{2}", "+++"),
        ("x\n+ 1", "x + 1", "+++"),
        ("X", "x", "---"),  # case counts
        (r"\alphabet", r"\alpha", "++-"),
        (r"\frac{a}{b}", r"\frac{b}{a}", "---"),
        ("x", " ", "++-"),
        ("x\t+ 1", "x + 1", "--+"),  # only spaces and newlines are taken out
    ],
)
def test_formulas(said, answer, expected):
    assert verdicts(said, answer, is_formula=True) == expected


@pytest.mark.parametrize("scoring", SCORINGS)
def test_one_of_the_answers_is_enough(scoring):
    assert holds_answer("the cat", ["dog", "cat"], scoring, False)
    assert not holds_answer("the cow", ["dog", "cat"], scoring, False)
