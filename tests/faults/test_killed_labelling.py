"""Labelling that is killed again and again ends with the files it would have made at once."""

from __future__ import annotations

import signal
from pathlib import Path
from random import Random

import pytest
from tests.faults.children import contents, in_child
from tests.faults.labelling import QUESTIONS, label, make_images

from qzoom.labels.store import read_labels

KILLS = 10


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("pictures") / "images")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, images: Path) -> dict[str, bytes]:
    """What a run makes that nothing disturbs."""
    folder = tmp_path_factory.mktemp("whole")
    label(folder, images)
    ids = [row.fields["id"] for row in read_labels(folder)]
    assert ids == [f"r{n}" for n in range(QUESTIONS)]
    return contents(folder)


def without_drafts_of_settings(files: dict[str, bytes]) -> dict[str, bytes]:
    """Several processes may open a new folder at once, so each drafts under a name of its own."""
    return {name: data for name, data in files.items() if not name.startswith(".settings.json.")}


def test_a_kill_before_any_change_of_a_file(tmp_path: Path, images: Path) -> None:
    few = 6
    undisturbed = in_child(lambda: vars(label(tmp_path / "whole", images, few)))
    assert undisturbed.value["shards"] == 2
    assert undisturbed.changes > KILLS
    for change in range(1, undisturbed.changes + 1):
        folder = tmp_path / str(change)
        outcome = in_child(lambda folder=folder: vars(label(folder, images, few)), die_at=change)
        assert outcome.signal == signal.SIGKILL
        label(folder, images, few)
        assert without_drafts_of_settings(contents(folder)) == contents(tmp_path / "whole")


def test_ten_kills_in_a_row(tmp_path: Path, images: Path, whole: dict[str, bytes]) -> None:
    rng = Random(0)
    for _ in range(KILLS):
        outcome = in_child(lambda: vars(label(tmp_path, images)), die_at=rng.randint(1, 10))
        assert outcome.signal == signal.SIGKILL
    label(tmp_path, images)
    assert without_drafts_of_settings(contents(tmp_path)) == whole


def test_a_kill_in_the_middle_of_a_write(
    tmp_path: Path, images: Path, whole: dict[str, bytes]
) -> None:
    sizes = sorted(len(data) for data in whole.values())
    for number, size in enumerate(Random(1).sample(range(1, sizes[-2]), KILLS)):
        folder = tmp_path / str(number)
        outcome = in_child(
            lambda folder=folder: vars(label(folder, images)), largest_file=size, die_when_full=True
        )
        assert outcome.signal == signal.SIGXFSZ
        label(folder, images)
        assert without_drafts_of_settings(contents(folder)) == whole
