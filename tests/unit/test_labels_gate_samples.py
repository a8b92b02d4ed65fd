"""What the gate is shown: resolutions, labels, balance, and that all of it repeats."""

from __future__ import annotations

from collections import Counter

import pytest

from qzoom.errors import ConfigError
from qzoom.labels.consistency import Trajectory, judge_trajectory, strict_rule
from qzoom.labels.gate_samples import (
    GateDraw,
    GateSample,
    crop_fix_label,
    draw_naive,
    draw_sample,
    kept_ids,
    naive_labels,
)
from qzoom.labels.tristate import IGNORE

CELLS = (64, 128, 256, 384, 576, 768)


def trajectory(name: str, wrong: int) -> Trajectory:
    answers = ("cat",) * wrong + ("owl",) * (len(CELLS) - wrong)
    return Trajectory(name, CELLS, answers, ("owl",))


def drawn(wrong: int, epochs: int = 2000, **draw: float) -> Counter[tuple[int, int]]:
    one = trajectory("q", wrong)
    verdict = judge_trajectory(one)
    settings = GateDraw(**draw)  # type: ignore[arg-type]
    samples = (draw_sample(one, verdict, epoch, settings) for epoch in range(epochs))
    return Counter((sample.cells, sample.label) for sample in samples)


def test_easy_questions_are_shown_anywhere_but_at_the_top() -> None:
    counts = drawn(0)
    assert set(counts) == {(cells, 0) for cells in CELLS[:-2]}
    assert all(400 < count < 600 for count in counts.values())


def test_hard_questions_are_shown_near_the_step() -> None:
    counts = drawn(3)
    assert set(counts) == {(128, 1), (256, 1), (384, 0)}
    assert 150 < counts[384, 0] < 250
    assert 800 < counts[128, 1] < 1000


def test_one_wrong_resolution_and_none_right_below_the_top() -> None:
    assert set(drawn(1)) == {(64, 1), (128, 0), (256, 0), (384, 0)}
    counts = drawn(4)
    assert set(counts) == {(256, 1), (384, 1), (384, IGNORE)}
    assert 150 < counts[384, IGNORE] < 250


def test_shares_can_be_set() -> None:
    assert set(drawn(3, 200, wrong_share=1.0)) == {(128, 1), (256, 1)}
    assert set(drawn(3, 200, wrong_share=0.0)) == {(384, 0)}
    assert set(drawn(3, 200, wrong_share=1.0, near_step=1)) == {(256, 1)}


def test_dropped_questions_teach_nothing() -> None:
    one = Trajectory("q", CELLS, ("cat",) * 6, ("owl",))
    assert draw_sample(one, judge_trajectory(one)).label == IGNORE


def test_balance_keeps_all_hard_and_a_choice_of_easy_ones() -> None:
    outcomes = [(f"e{i}", "easy") for i in range(50)] + [(f"h{i}", "hard") for i in range(20)]
    outcomes += [("d", "dropped")]
    kept = kept_ids(outcomes)  # type: ignore[arg-type]
    assert {name for name in kept if name[0] == "h"} == {f"h{i}" for i in range(20)}
    assert sum(name[0] == "e" for name in kept) == 20
    assert "d" not in kept
    assert kept_ids(reversed(outcomes)) == kept  # type: ignore[arg-type]
    assert kept_ids(outcomes, GateDraw(seed=1)) != kept  # type: ignore[arg-type]
    assert len(kept_ids(outcomes, GateDraw(easy_per_hard=0.5))) == 30  # type: ignore[arg-type]
    assert len(kept_ids(outcomes, GateDraw(easy_per_hard=9))) == 70  # type: ignore[arg-type]


def test_samples_depend_on_seed_epoch_and_id_alone() -> None:
    pool = [trajectory(f"q{i}", i % 5) for i in range(60)]

    def all_of(pool: list[Trajectory], epoch: int = 0, seed: int = 0) -> set[GateSample]:
        draw = GateDraw(seed=seed)
        return {draw_sample(one, judge_trajectory(one), epoch, draw) for one in pool}

    first = all_of(pool)
    assert len({sample.id for sample in first}) == 60
    assert first == all_of(pool[::-1])
    assert first != all_of(pool, epoch=1)
    assert first != all_of(pool, seed=1)


def test_naive_labels_say_whether_each_answer_was_right() -> None:
    one = trajectory("q", 2)
    labels = naive_labels(one, strict_rule())
    assert labels == (1, 1, 0, 0)
    samples = [draw_naive(one, labels, epoch) for epoch in range(100)]
    assert {(s.cells, s.label) for s in samples} == set(zip(CELLS, labels, strict=False))
    assert samples == [draw_naive(one, labels, epoch) for epoch in range(100)]
    # No filter: an answer that is wrong everywhere counts as one to zoom for.
    hopeless = Trajectory("q", CELLS, ("cat",) * 6, ("owl",))
    assert naive_labels(hopeless, strict_rule()) == (1, 1, 1, 1)


def test_crop_fix_labels() -> None:
    labels = [crop_fix_label(d, z) for d in (True, False) for z in (True, False)]
    assert labels == [0, 0, 1, IGNORE]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"wrong_share": 1.1}, "wrong_share is 1.1; it must be from 0 to 1"),
        ({"near_step": 0}, "near_step is 0; it must be at least 1"),
        ({"easy_per_hard": -1}, "easy_per_hard is -1; it must be 0 or more"),
    ],
)
def test_bad_settings(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message.split(";")[0]):
        GateDraw(**settings)  # type: ignore[arg-type]
