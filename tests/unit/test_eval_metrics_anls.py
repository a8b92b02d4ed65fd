"""ANLS, worked out by hand."""

from __future__ import annotations

import pytest

from qzoom.eval.metrics.anls import anls, levenshtein

HARNESSES = ("lmms-eval", "vlmevalkit")
ALL = (*HARNESSES, "strict")


@pytest.mark.parametrize(
    ("one", "other", "edits"),
    [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("ab", "ba", 2), ("", "", 0)],
)
def test_edits(one, other, edits):
    assert levenshtein(one, other) == edits


@pytest.mark.parametrize("scoring", ALL)
def test_case_and_runs_of_spaces_are_no_error(scoring):
    assert anls("New  YORK", ["new york"], scoring) == 1


@pytest.mark.parametrize("scoring", ALL)
def test_the_nearest_answer_counts(scoring):
    assert anls("abcde", ["zzzzz", "abcdx", "abxyz"], scoring) == pytest.approx(4 / 5)


@pytest.mark.parametrize("scoring", ALL)
def test_below_one_half_is_nothing(scoring):
    assert anls("axy", ["abc"], scoring) == 0  # 2 of 3 wrong


@pytest.mark.parametrize(("scoring", "score"), [*[(h, 0.5) for h in HARNESSES], ("strict", 0)])
def test_exactly_one_half(scoring, score):
    assert anls("abxy", ["abcd"], scoring) == score


@pytest.mark.parametrize(
    ("scoring", "score"), [*[(h, 5 / 7) for h in HARNESSES], ("strict", 3 / 5)]
)
def test_harnesses_count_spaces_of_the_answer_that_they_then_ignore(scoring, score):
    # 2 edits; "ab cd" has 5 characters, as it is written 7.
    assert anls("ab xy", ["ab   cd"], scoring) == pytest.approx(score)


@pytest.mark.parametrize(
    ("scoring", "score"), [("lmms-eval", 3 / 5), ("vlmevalkit", 7 / 9), ("strict", 3 / 5)]
)
def test_only_vlmevalkit_counts_spaces_around_the_reply(scoring, score):
    assert anls("ab xy    ", ["ab cd"], scoring) == pytest.approx(score)


@pytest.mark.parametrize(
    ("scoring", "score"), [*[(h, 3 / 4) for h in HARNESSES], ("strict", 2 / 3)]
)
def test_harnesses_measure_in_upper_case(scoring, score):
    # One edit; "aßc" has 3 characters, "ASSC" has 4.
    assert anls("aßd", ["aßc"], scoring) == pytest.approx(score)
