"""When an answer is exactly right."""

from __future__ import annotations

import pytest

from qzoom.eval.exact import exact


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("Tea  House ", "TEA HOUSE"),
        ("60.3", "60.30"),
        ("RM 60.30", "60.3"),
        ("60.30", "RM60.30"),
        ("$8.20", "8.20"),
        ("7,838.80", "7838.80"),
        (".5", "0.50"),
        ("8", "RM 8.00"),
        ("11/01/2019", "11/01/2019"),
        ("20180304", "20180304"),
    ],
)
def test_right(said: str, answer: str) -> None:
    assert exact(said, ["no", answer])


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("60.31", "60.30"),
        ("160.30", "60.30"),
        ("60.30 60.30", "60.30"),
        ("total 60.30", "60.30"),
        ("", "60.30"),
        (".", "0.00"),
        ("1/01/2019", "11/01/2019"),
        ("11-01-2019", "11/01/2019"),
        # Without a point a number is text: a code keeps its zeros.
        ("7", "007"),
        ("1,000", "1000"),
        ("5.0", "5"),
        ("teahouse", "tea house"),
    ],
)
def test_wrong(said: str, answer: str) -> None:
    assert not exact(said, [answer])


def test_nothing_is_right_without_answers() -> None:
    assert not exact("x", [])
