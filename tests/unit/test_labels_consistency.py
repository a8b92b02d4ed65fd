"""The consistency filter: easy, hard, and dropped for a reason."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qzoom.errors import LabelError
from qzoom.labels.consistency import (
    VERDICTS,
    Trajectory,
    TrajectoryVerdict,
    judge_trajectory,
    reference_rule,
    strict_rule,
)

CELLS = (64, 128, 256, 576, 1024)


def of(*answers: str, truths: tuple[str, ...] = ("owl",)) -> Trajectory:
    return Trajectory("q", CELLS[: len(answers)], answers, truths)


@pytest.mark.parametrize("rule", [reference_rule(), strict_rule()], ids=lambda rule: rule.name)
@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        (("owl", "Owl.", "owl"), TrajectoryVerdict("easy")),
        (("cat", "owl", "owl"), TrajectoryVerdict("hard", wrong=1)),
        (("cat", "dog", "cow", "owl", "owl!"), TrajectoryVerdict("hard", wrong=3)),
        (("cat", "owl", "cat", "owl", "owl"), TrajectoryVerdict("dropped", "no step")),
        (("owl", "cat", "owl", "owl"), TrajectoryVerdict("dropped", "no step")),
        (("owl", "owl", "cat"), TrajectoryVerdict("dropped", "top disagrees")),
        (("owl", "owl", "an owl sits"), TrajectoryVerdict("dropped", "top disagrees")),
        (("owl", "cat", "cat"), TrajectoryVerdict("dropped", "top is wrong")),
    ],
)
def test_verdicts(rule, answers: tuple[str, ...], verdict: TrajectoryVerdict) -> None:
    assert judge_trajectory(of(*answers), rule) == verdict


def test_where_the_rules_differ() -> None:
    reference, strict = reference_rule(), strict_rule()
    # A decimal ground truth: the reference drops the question.
    decimal = of("2.5", "1.5", "1.5", truths=("1.5",))
    assert judge_trajectory(decimal, reference).reason == "top is wrong"
    assert judge_trajectory(decimal, strict) == TrajectoryVerdict("hard", wrong=1)
    # An empty answer: the reference takes it for right.
    empty = of("", "owl", "owl")
    assert judge_trajectory(empty, reference) == TrajectoryVerdict("easy")
    assert judge_trajectory(empty, strict) == TrajectoryVerdict("hard", wrong=1)
    # Part of the answer, and a digit of it.
    part = of("red", "red car", "red car", truths=("red car",))
    assert judge_trajectory(part, reference).outcome == "easy"
    assert judge_trajectory(part, strict).outcome == "hard"
    digit = of("1", "312", "312", truths=("312",))
    assert judge_trajectory(digit, reference).outcome == "easy"
    assert judge_trajectory(digit, strict).outcome == "hard"


def test_any_ground_truth_will_do() -> None:
    several = of("cat", "an owl", "owl", truths=("bird", "Owl"))
    assert judge_trajectory(several) == TrajectoryVerdict("hard", wrong=1)


@settings(max_examples=50)
@given(st.lists(st.booleans(), min_size=1, max_size=8))
def test_a_step_is_kept_and_nothing_else(held: list[bool]) -> None:
    shown = len(held)
    answers = tuple("owl" if right else f"no {place}" for place, right in enumerate(held))
    trajectory = Trajectory("q", tuple(range(1, shown + 3)), (*answers, "owl", "owl"), ("owl",))
    wrong = held.count(False)
    is_step = held == [False] * wrong + [True] * (shown - wrong)
    for rule in (reference_rule(), strict_rule()):
        verdict = judge_trajectory(trajectory, rule)
        assert (verdict.outcome != "dropped") == is_step
        if is_step:
            assert verdict.outcome == ("hard" if wrong else "easy")
            assert verdict.wrong == wrong


def test_every_verdict_has_a_name_to_be_counted_by() -> None:
    answers = [("owl",) * 3, ("cat", "owl", "owl"), ("owl", "owl", "cat"), ("cat",) * 3]
    verdicts = [judge_trajectory(of(*each)) for each in [*answers, ("owl", "cat", "owl", "owl")]]
    assert tuple(verdict.name for verdict in verdicts) == VERDICTS


@pytest.mark.parametrize(
    ("cells", "answers", "truths", "message"),
    [
        ((1, 2), ("a", "b"), ("a",), "question 'q' has 2 resolutions; give at least 3"),
        ((1, 2, 3), ("a", "b"), ("a",), "has 2 answers at 3 resolutions; give one answer for each"),
        ((1, 3, 2), ("a", "b", "c"), ("a",), "cells (1, 3, 2); they must rise"),
        ((1, 2, 2), ("a", "b", "c"), ("a",), "they must rise"),
        ((1, 2, 3), ("a", "b", "c"), (), "has no ground truth; give at least one"),
    ],
)
def test_mistakes_are_one_line(cells, answers, truths, message: str) -> None:
    with pytest.raises(LabelError) as caught:
        Trajectory("q", cells, answers, truths)
    assert message in str(caught.value)
