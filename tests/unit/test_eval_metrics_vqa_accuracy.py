"""VQA accuracy, worked out by hand."""

from __future__ import annotations

import pytest

from qzoom.eval.metrics.vqa_accuracy import normalised, vqa_accuracy

SCORINGS = ("lmms-eval", "vlmevalkit", "strict")


@pytest.mark.parametrize(
    ("votes", "score"),
    # Each of the ten is left out in turn: with 3 equal votes, 3 persons find 2 others and 7 find 3.
    [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (10, 1)],
)
@pytest.mark.parametrize("scoring", SCORINGS)
def test_votes_without_ones_own(votes, score, scoring):
    answers = ["stop"] * votes + [f"other{n}" for n in range(10 - votes)]
    assert vqa_accuracy("Stop", answers, scoring) == pytest.approx(score)


@pytest.mark.parametrize("scoring", SCORINGS)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Stop Sign", "stop sign"),
        ("an apple a day", "apple day"),
        ("Two", "2"),
        ("none", "0"),
        ("twenty", "twenty"),
        ("dont", "don't"),
        ("couldnt've", "couldn't've"),
        ("somebody'd", "somebodyd"),
        ("1,000", "1000"),
        ("e-mail", "e mail"),
        ("e-mail - now", "email now"),  # a mark with space beside it goes everywhere
        ("Really?!", "really"),
        ("U.S.A.", "usa"),
        ("1.5", "1.5"),
        (" two\nwords\t", "2 words"),
    ],
)
def test_what_all_normalise_alike(text, expected, scoring):
    assert normalised(text, scoring) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's", ("it 's", "it's", "it 's")),
        ("5.", ("5", "5.", "5")),
        ("1,000 e-mail", ("1000 e mail", "1000 email", "1000 e mail")),
        ("what?ever", ("whatever", "what ever", "whatever")),
        ("." * 40 + "x", ("." * 8 + "x", "." * 8 + "x", "x")),
    ],
)
def test_where_they_differ(text, expected):
    assert tuple(normalised(text, scoring) for scoring in SCORINGS) == expected
