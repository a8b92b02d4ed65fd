"""Stage 3: which questions turn from wrong to right at one resolution and stay right (sec. III-B).

The paper wants the accuracy along the resolutions to be a Heaviside step; it states that in words,
without an equation number, just before eq. 3, whose gate learns from the labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from qzoom.errors import LabelError
from qzoom.labels.matching import (
    Match,
    matches_any,
    reference_ground_truth_match,
    reference_match,
    reference_normalise,
    strict_equal,
    strict_match,
)

TOP: Final = 2
"""The highest resolutions that have to agree; no sample is drawn at them."""

Outcome = Literal["easy", "hard", "dropped"]
Reason = Literal["", "top disagrees", "top is wrong", "no step"]
VERDICTS: Final = ("easy", "hard", "top disagrees", "top is wrong", "no step")


@dataclass(frozen=True)
class Trajectory:
    """Answers to one question at rising resolutions.

    id: of the question; cells: budget of each resolution; answers: one for each; ground_truths:
    texts of which any counts as right.

    Raises:
        LabelError: If resolutions do not rise, are fewer than three or not as many as the answers,
            or if there is no ground truth.
    """

    id: str
    cells: tuple[int, ...]
    answers: tuple[str, ...]
    ground_truths: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.cells) != len(self.answers):
            raise LabelError(
                f"question {self.id!r} has {len(self.answers)} answers at {len(self.cells)} "
                "resolutions; give one answer for each"
            )
        if len(self.cells) <= TOP:
            raise LabelError(
                f"question {self.id!r} has {len(self.cells)} resolutions; give at least {TOP + 1}"
            )
        if list(self.cells) != sorted(set(self.cells)):
            raise LabelError(f"question {self.id!r} has cells {self.cells}; they must rise")
        if not self.ground_truths:
            raise LabelError(f"question {self.id!r} has no ground truth; give at least one")


@dataclass(frozen=True)
class TrajectoryVerdict:
    """What a trajectory teaches.

    outcome: "easy" is right everywhere, "hard" wrong at its `wrong` lowest resolutions and right
    above; "dropped" teaches nothing, for the given reason.
    """

    outcome: Outcome
    reason: Reason = ""
    wrong: int = 0

    @property
    def name(self) -> str:
        """What it is counted as: one of `VERDICTS`."""
        return self.reason or self.outcome


class AnswerRule:
    """How answers are compared: `agree` for the highest two, `right` and `holds` for the others."""

    def __init__(self, name: str, agree: Match, right: Match, like_consensus: Match | None) -> None:
        """Make a rule.

        Args:
            name: Stored with labels.
            agree: Whether two answers are the same.
            right: Whether an answer matches a ground truth.
            like_consensus: Whether an answer matches the consensus of the highest resolutions;
                None compares with the ground truths instead.
        """
        self.name, self.agree = name, agree
        self._right, self._like_consensus = right, like_consensus

    def right(self, answer: str, ground_truths: Iterable[str]) -> bool:
        """Whether an answer matches any ground truth."""
        return matches_any(answer, ground_truths, self._right)

    def holds(self, answer: str, consensus: str, ground_truths: Iterable[str]) -> bool:
        """Whether an answer counts as right, once the consensus is known to be right."""
        if self._like_consensus is None:
            return self.right(answer, ground_truths)
        return self._like_consensus(answer, consensus)


def reference_rule() -> AnswerRule:
    """The published rule: equal once normalised, then substrings either way."""
    return AnswerRule("reference", _same_normalised, reference_ground_truth_match, reference_match)


def strict_rule() -> AnswerRule:
    """The default: `strict_match`, and every answer compared with the ground truths.

    What holds the consensus as whole words holds the ground truth in it too, so this misses no
    right answer; and it does not take "red" for "red car".
    """
    return AnswerRule("strict", strict_equal, strict_match, None)


RULES: Final[Mapping[str, Callable[[], AnswerRule]]] = MappingProxyType(
    {"strict": strict_rule, "reference": reference_rule}
)


def judge_trajectory(trajectory: Trajectory, rule: AnswerRule | None = None) -> TrajectoryVerdict:
    """Keep a trajectory whose answers are wrong up to one resolution and right from there on.

    The two highest must agree, their consensus must match a ground truth, and the wrong answers
    must be exactly the lowest ones, or none.

    Args:
        rule: How answers are compared; the strict rule by default.
    """
    rule = rule or strict_rule()
    consensus, truths = trajectory.answers[-1], trajectory.ground_truths
    if not all(rule.agree(answer, consensus) for answer in trajectory.answers[-TOP:]):
        return TrajectoryVerdict("dropped", "top disagrees")
    if not rule.right(consensus, truths):
        return TrajectoryVerdict("dropped", "top is wrong")
    held = [rule.holds(answer, consensus, truths) for answer in trajectory.answers]
    wrong = held.count(False)
    if any(held[:wrong]):
        return TrajectoryVerdict("dropped", "no step")
    return TrajectoryVerdict("hard" if wrong else "easy", wrong=wrong)


def _same_normalised(one: str, other: str) -> bool:
    return reference_normalise(one) == reference_normalise(other)
