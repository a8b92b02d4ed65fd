"""Letters found in replies: by each harness, traps included, and as one would expect."""

from __future__ import annotations

import pytest

from qzoom.eval.metrics.choice_letter import stated_letter
from qzoom.eval.metrics.choice_lmms_eval import ranked_letter, realworld_letter, vstar_letter
from qzoom.eval.metrics.choice_vlmevalkit import (
    REFUSED,
    inferred_letter,
    inferred_letter_of_lmms_eval,
)
from qzoom.eval.metrics.choice_vlmevalkit import realworld_letter as realworld_of_vlmevalkit

OPTIONS = {"A": "black", "B": "cat", "C": "a red door", "D": "dog"}


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("B", "B"),
        (" b.\n", "B"),
        ("(B)", "B"),
        ("**B**", "B"),
        ("[D]", "D"),
        ("Answer: C", "C"),
        ("the answer is d", "D"),
        ("The correct answer is (B).", "B"),
        ("Option A", "A"),
        ("B. cat", "B"),
        ("(B) Cat.", "B"),
        ("cat", "B"),
        ("The answer is A red  door", "C"),
        ("BLACK", "A"),  # the whole text of an option, not its first letter
        ("Cannot say", None),
        ("B. dog", None),
        ("A or B", None),
        ("AB", None),
        ("A cat", None),
        ("the cat", None),
        ("E", None),
        ("The answer is", None),
        ("", None),
        (" .", None),
    ],
)
def test_a_letter_counts_where_it_stands_alone(reply: str, letter: str | None) -> None:
    assert stated_letter(reply, OPTIONS) == letter


def test_options_of_one_text_are_not_told_apart() -> None:
    assert stated_letter("cat", {"A": "cat", "B": "Cat."}) is None


def test_without_texts_only_letters_count() -> None:
    assert stated_letter("(c)", {}) == "C"
    assert stated_letter("cat", {}) is None
    assert stated_letter("E", {}) is None


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("B", "B"),
        ("(B)", "B"),
        ("B. cat", "B"),
        ("BLACK", "B"),
        ("Cannot say", "C"),
        ("a dog", "A"),
        ("Answer: C", "A"),  # it begins with A
        ("My answer: C", "C"),
        ("the answer is d", "D"),
        ("The answer is blue", "B"),
        ("It is (C), not (D)", "C"),
        ("I see D) there", "D"),
        ("He said so: B or C", "B"),
        ("for sure c", "C"),
        ("elephant", "A"),  # the only letter from A to D in it
        ("tricked", None),  # two of them
        ("yes", None),
        ("", None),
    ],
)
def test_vstar_of_lmms_eval(reply: str, letter: str | None) -> None:
    assert vstar_letter(reply) == letter


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("B", "B"),
        ("B.", "B"),
        ("(B)", "B"),
        ("B. cat", "B"),
        ("b", ""),
        ("the answer is d", ""),
        ("The answer is B.", "B"),
        ("The answer is B, not D", "D"),  # it ends with a letter
        ("My answer is B or D, I think", "D"),  # the last of both behind the phrase
        ("A cat", "A"),
        ("A or B", "A"),  # the beginning before the end
        ("BANANA", "A"),
        ("NOT BAD at all", "D"),
        ("I saw (A) and C. then", "A"),
        ("xAyC!", "C"),
        ("CxB", "B"),
        ("Black", "B"),
        ("", ""),
        ("   ", ""),
        ("yes", ""),
    ],
)
def test_mmstar_of_lmms_eval(reply: str, letter: str) -> None:
    assert ranked_letter(reply) == letter


@pytest.mark.parametrize(
    ("reply", "ours", "vlmevalkit"),
    [
        ("C", "C", "C"),
        ("(E) not there", "E", "E"),
        ("The best answer is: D", "D", "D"),
        ("Best answer: C", "C", "B"),
        ("The best option is D", "D", "D"),
        ("The answer is cat, Bob", "B", "B"),
        ("BLACK", "B", "B"),
        ("Cannot say", "C", "C"),
        ("b", "B", "B"),
        ("", "A", "A"),
        ("The answer is", "A", "A"),
        ("no idea", "", ""),
        ("one two three four five six seven eight nine ten and more", "", ""),
    ],
)
def test_mme_realworld(reply: str, ours: str, vlmevalkit: str) -> None:
    assert realworld_letter(reply) == ours
    assert realworld_of_vlmevalkit(reply) == vlmevalkit


@pytest.mark.parametrize(
    ("reply", "vlmevalkit", "lmms_eval"),
    [
        ("B", "B", "B"),
        ("(B)", "B", "B"),
        ("B. cat", "B", "B"),
        ("Answer: C", "C", "C"),
        ("the answer is d", "D", None),
        ("The answer is cat", "C", "B"),
        ("It is the cat", "B", "B"),
        ("A cat", "A", "A"),
        ("A or D", None, None),
        ("cat and dog", None, None),
        ("BLACK", "A", "A"),
        ("Cannot say", None, None),
        ("Cannot determine the answer, B", REFUSED, REFUSED),
        ("Z", REFUSED, REFUSED),
        ("B it is, I say", None, "B"),  # not among the last four words
        ("B it is, surely", "B", "B"),
        ("", None, None),
        ("Well, " * 12 + "it is the cat", None, "B"),  # longer than twice all options
        ("Failed to obtain answer via API. B", None, None),
        ("Failed to obtain answer via API: cat", "B", "B"),
    ],
)
def test_letters_inferred_without_a_judge(
    reply: str, vlmevalkit: str | None, lmms_eval: str | None
) -> None:
    assert inferred_letter(reply, OPTIONS) == vlmevalkit
    assert inferred_letter_of_lmms_eval(reply, OPTIONS) == lmms_eval
