"""Answers and mining that are killed again and again end with the files of an undisturbed run."""

from __future__ import annotations

import signal
from pathlib import Path
from random import Random

import pytest
from tests.faults.children import contents, in_child
from tests.unit.labels_pool import FakeAnswerer, pool
from tests.unit.test_labels_mining import files as write_answers
from tests.unit.test_labels_mining import run as mine_pool

from qzoom.labels.answers import AnswerRun, answer_pool

KILLS = 10


def answer(folder: Path) -> None:
    run = AnswerRun(batch_size=3, sync_every=2)
    answer_pool(pool(30), FakeAnswerer(), folder / "answers.jsonl", run)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    answer(folder)
    return contents(folder)


@pytest.mark.parametrize("seed", range(3))
def test_answers_end_the_same(tmp_path: Path, whole: dict[str, bytes], seed: int) -> None:
    rng = Random(seed)
    for _ in range(KILLS):
        outcome = in_child(lambda: answer(tmp_path), die_at=rng.randint(1, 4))
        assert outcome.signal == signal.SIGKILL
    answer(tmp_path)
    assert contents(tmp_path) == whole


def test_answers_killed_in_the_middle_of_a_line(tmp_path: Path, whole: dict[str, bytes]) -> None:
    size = len(whole["answers.jsonl"])
    for largest in sorted(Random(0).sample(range(60, size), KILLS)):
        outcome = in_child(lambda: answer(tmp_path), largest_file=largest, die_when_full=True)
        assert outcome.signal == signal.SIGXFSZ
        # The file is there up to the last byte that had room.
        assert (tmp_path / "answers.jsonl").stat().st_size == largest
    answer(tmp_path)
    assert contents(tmp_path) == whole


def mined(folder: Path) -> dict[str, bytes]:
    """What mining leaves, but for the summary: it counts how many replies were known."""
    found = contents(folder)
    return {name: data for name, data in found.items() if name != "mined.summary.json"}


def test_mining_ends_the_same(tmp_path: Path) -> None:
    (tmp_path / "once").mkdir()
    write_answers(tmp_path / "once", 25)
    undisturbed = in_child(lambda: mine_pool(tmp_path / "once"))
    assert undisturbed.value > KILLS
    folder, rng = tmp_path / "killed", Random(4)
    folder.mkdir()
    write_answers(folder, 25)
    for _ in range(KILLS):
        outcome = in_child(lambda: mine_pool(folder), die_at=rng.randint(1, 5))
        assert outcome.signal == signal.SIGKILL
    mine_pool(folder)
    assert mined(folder) == mined(tmp_path / "once")
    for change in rng.sample(range(1, undisturbed.changes + 1), KILLS):
        again = tmp_path / str(change)
        again.mkdir()
        write_answers(again, 25)
        outcome = in_child(lambda again=again: mine_pool(again), die_at=change)
        assert outcome.signal == signal.SIGKILL
        mine_pool(again)
        assert mined(again) == mined(tmp_path / "once")


def test_a_judge_cache_killed_in_the_middle_of_a_line(tmp_path: Path) -> None:
    for name in ("once", "killed"):
        (tmp_path / name).mkdir()
        write_answers(tmp_path / name, 25)
    mine_pool(tmp_path / "once")
    size = (tmp_path / "once" / "cache.jsonl").stat().st_size
    for largest in sorted(Random(0).sample(range(1, size), KILLS)):
        outcome = in_child(
            lambda: mine_pool(tmp_path / "killed"), largest_file=largest, die_when_full=True
        )
        assert outcome.signal == signal.SIGXFSZ
    mine_pool(tmp_path / "killed")
    assert mined(tmp_path / "killed") == mined(tmp_path / "once")
