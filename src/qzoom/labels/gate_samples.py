"""What the gate is shown: a question at one resolution, with a label for whether to zoom.

Drawn anew each epoch from (seed, epoch, id) alone, so workers, order and restarts change nothing.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from qzoom.errors import ConfigError
from qzoom.labels.consistency import TOP, AnswerRule, Outcome, Trajectory, TrajectoryVerdict
from qzoom.labels.tristate import IGNORE


class Shown(Protocol):
    """A question that was answered at rising resolutions."""

    @property
    def id(self) -> str:
        """Of the question."""
        ...

    @property
    def cells(self) -> tuple[int, ...]:
        """Budget of each resolution."""
        ...


@dataclass(frozen=True)
class GateSample:
    """A question to be shown at `cells`: label 1 to zoom, 0 to answer, `IGNORE` for no loss."""

    id: str
    cells: int
    label: int


@dataclass(frozen=True)
class GateDraw:
    """How samples are drawn; the defaults are the reference's.

    Args:
        seed: Of all choices.
        wrong_share: Share of draws of a hard question that show it where it was wrong.
        near_step: Such a draw takes one of this many resolutions right below the step.
        easy_per_hard: Easy questions kept for every hard one, at most.

    Raises:
        ConfigError: If a setting is out of range.
    """

    seed: int = 0
    wrong_share: float = 0.9
    near_step: int = 2
    easy_per_hard: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.wrong_share <= 1:
            raise ConfigError(f"wrong_share is {self.wrong_share}; it must be from 0 to 1")
        if self.near_step < 1:
            raise ConfigError(f"near_step is {self.near_step}; it must be at least 1")
        if not 0 <= self.easy_per_hard < float("inf"):
            raise ConfigError(f"easy_per_hard is {self.easy_per_hard}; it must be 0 or more")


def draw_sample(
    shown: Shown, verdict: TrajectoryVerdict, epoch: int = 0, draw: GateDraw | None = None
) -> GateSample:
    """Draw a resolution for one question, never one of the top two, and label it.

    Easy: any of them, label 0. Hard: mostly one right below the step, label 1; else one where the
    answer was right, label 0, or `IGNORE` (shown right below the step) where there is none.

    Args:
        epoch: Another one draws another resolution.
        draw: How to draw; the reference's shares by default.
    """
    draw = draw or GateDraw()
    rng = _random(draw.seed, epoch, shown.id)
    below_top = shown.cells[:-TOP]
    if verdict.outcome == "dropped":
        return GateSample(shown.id, below_top[-1], IGNORE)
    if verdict.outcome == "easy":
        return GateSample(shown.id, rng.choice(below_top), 0)
    wrong = shown.cells[: verdict.wrong]
    if rng.random() < draw.wrong_share:
        return GateSample(shown.id, rng.choice(wrong[-draw.near_step :]), 1)
    right = below_top[verdict.wrong :]
    if not right:
        return GateSample(shown.id, wrong[-1], IGNORE)
    return GateSample(shown.id, rng.choice(right), 0)


def kept_ids(
    outcomes: Iterable[tuple[str, Outcome]], draw: GateDraw | None = None
) -> frozenset[str]:
    """All hard questions, and of the easy ones a seeded choice that their order does not change.

    Args:
        outcomes: Id and outcome of every question.
        draw: Seed and share.
    """
    draw = draw or GateDraw()
    hard: set[str] = set()
    easy: set[str] = set()
    for name, outcome in outcomes:
        if outcome != "dropped":
            (hard if outcome == "hard" else easy).add(name)
    room = int(draw.easy_per_hard * len(hard))
    return frozenset(hard) | frozenset(lowest(easy, room, f"easy/{draw.seed}"))


def lowest(ids: Iterable[str], count: int, salt: str) -> list[str]:
    """A choice of ids that depends on each id and the salt alone: those whose hash is lowest."""

    def key(name: str) -> bytes:
        return hashlib.sha256(f"{salt}/{name}".encode(errors="surrogatepass")).digest()

    return heapq.nsmallest(count, ids, key)


def naive_labels(trajectory: Trajectory, rule: AnswerRule) -> tuple[int, ...]:
    """The ablation's labels: no filter, each answer against the ground truth (paper, fig. 9).

    One for each resolution that consistent samples are drawn from.
    """
    answers = trajectory.answers[:-TOP]
    return tuple(0 if rule.right(answer, trajectory.ground_truths) else 1 for answer in answers)


def draw_naive(
    shown: Shown, labels: Sequence[int], epoch: int = 0, draw: GateDraw | None = None
) -> GateSample:
    """Draw any of the labelled resolutions for one question.

    Args:
        labels: One for each of the lowest resolutions, as `naive_labels` gives them.
    """
    rng = _random((draw or GateDraw()).seed, epoch, shown.id)
    place = rng.randrange(len(labels))
    return GateSample(shown.id, shown.cells[place], labels[place])


def crop_fix_label(direct_right: bool, zoom_right: bool) -> int:
    """Whether the crop mends the answer: 0 when it was right, 1 when the zoom made it right.

    `IGNORE` when both are wrong: neither way helps, so the question says nothing about the gate.
    """
    if direct_right:
        return 0
    return 1 if zoom_right else IGNORE


def _random(seed: int, epoch: int, name: str) -> Random:
    return Random(f"{seed}/{epoch}/{name}")
