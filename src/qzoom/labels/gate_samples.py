"""What the gate is shown: a question at one resolution, with a label for whether to zoom.

Drawn anew each epoch from (seed, epoch, id) alone, so workers, order and restarts change nothing.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random

from qzoom.errors import ConfigError
from qzoom.labels.consistency import (
    TOP,
    AnswerRule,
    Outcome,
    Trajectory,
    TrajectoryVerdict,
    strict_rule,
)
from qzoom.labels.tristate import IGNORE


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


def gate_samples(
    judged: Iterable[tuple[Trajectory, TrajectoryVerdict]],
    kept: frozenset[str],
    epoch: int = 0,
    draw: GateDraw | None = None,
) -> Iterator[GateSample]:
    """One sample of every kept question, in the given order.

    Args:
        judged: Trajectories with their verdicts.
        kept: Ids from `kept_ids`.
        epoch: Another one draws other resolutions.
        draw: How to draw; the reference's shares by default.
    """
    for trajectory, verdict in judged:
        if trajectory.id in kept:
            yield draw_sample(trajectory, verdict, epoch, draw)


def draw_sample(
    trajectory: Trajectory, verdict: TrajectoryVerdict, epoch: int = 0, draw: GateDraw | None = None
) -> GateSample:
    """Draw a resolution for one question, never one of the top two, and label it.

    Easy: any of them, label 0. Hard: mostly one right below the step, label 1; else one where the
    answer was right, label 0, or `IGNORE` (shown right below the step) where there is none.
    """
    draw = draw or GateDraw()
    rng = _random(draw.seed, epoch, trajectory.id)
    shown = trajectory.cells[:-TOP]
    if verdict.outcome == "dropped":
        return GateSample(trajectory.id, shown[-1], IGNORE)
    if verdict.outcome == "easy":
        return GateSample(trajectory.id, rng.choice(shown), 0)
    wrong = trajectory.cells[: verdict.wrong]
    if rng.random() < draw.wrong_share:
        return GateSample(trajectory.id, rng.choice(wrong[-draw.near_step :]), 1)
    right = shown[verdict.wrong :]
    if not right:
        return GateSample(trajectory.id, wrong[-1], IGNORE)
    return GateSample(trajectory.id, rng.choice(right), 0)


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


def naive_samples(
    trajectories: Iterable[Trajectory],
    epoch: int = 0,
    draw: GateDraw | None = None,
    rule: AnswerRule | None = None,
) -> Iterator[GateSample]:
    """The ablation's labels: no filter, one answer against the ground truth (paper, fig. 9).

    Resolutions are drawn among those the consistent samples are drawn from.
    """
    draw, rule = draw or GateDraw(), rule or strict_rule()
    for trajectory in trajectories:
        rng = _random(draw.seed, epoch, trajectory.id)
        place = rng.randrange(len(trajectory.cells) - TOP)
        right = rule.right(trajectory.answers[place], trajectory.ground_truths)
        yield GateSample(trajectory.id, trajectory.cells[place], 0 if right else 1)


def crop_fix_label(direct_right: bool, zoom_right: bool) -> int:
    """Whether the crop mends the answer: 0 when it was right, 1 when the zoom made it right.

    `IGNORE` when both are wrong: neither way helps, so the question says nothing about the gate.
    """
    if direct_right:
        return 0
    return 1 if zoom_right else IGNORE


def _random(seed: int, epoch: int, name: str) -> Random:
    return Random(f"{seed}/{epoch}/{name}")
