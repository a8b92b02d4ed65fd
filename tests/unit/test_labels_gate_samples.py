"""What the gate is shown: resolutions, labels, balance, and that all of it repeats."""

from __future__ import annotations

from collections import Counter

import pytest

from qzoom.errors import ConfigError
from qzoom.labels.consistency import Trajectory, judge_trajectories, judge_trajectory
from qzoom.labels.gate_samples import (
    GateDraw,
    crop_fix_label,
    draw_sample,
    gate_samples,
    kept_ids,
    naive_samples,
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
    judged = list(judge_trajectories(pool))
    kept = kept_ids((one.id, verdict.outcome) for one, verdict in judged)
    first = list(gate_samples(judged, kept))
    assert first == list(gate_samples(judged, kept))
    assert {s.id for s in first} == kept
    assert [s.id for s in first] == [one.id for one in pool if one.id in kept]
    assert set(first) == set(gate_samples(reversed(judged), kept))
    assert first != list(gate_samples(judged, kept, epoch=1))
    assert first != list(gate_samples(judged, kept, draw=GateDraw(seed=1)))


def test_naive_labels_say_whether_one_answer_was_right() -> None:
    pool = [trajectory(f"q{i}", 2) for i in range(100)]
    samples = list(naive_samples(pool))
    assert {s.cells for s in samples} == set(CELLS[:-2])
    assert all(s.label == (s.cells < CELLS[2]) for s in samples)
    # No filter: an answer that is wrong everywhere counts as one to zoom for.
    hopeless = Trajectory("q", CELLS, ("cat",) * 6, ("owl",))
    assert next(naive_samples([hopeless])).label == 1
    assert samples == list(naive_samples(pool))


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
