"""Steps of a reproduction: each once, also where several processes share the folder."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from qzoom.errors import ConfigError
from qzoom.reproduce.workspace import Workspace


def test_a_step_is_run_once_and_its_outcome_kept(tmp_path: Path) -> None:
    runs = []

    def step() -> dict[str, int]:
        runs.append(1)
        return {"runs": len(runs)}

    for _ in range(2):
        assert Workspace(tmp_path).once("one", step)["runs"] == 1


def test_a_step_is_held_while_it_runs(tmp_path: Path) -> None:
    def step() -> dict[str, bool]:
        with (tmp_path / "steps/one.lock").open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        return {}

    Workspace(tmp_path).once("one", step)
    with (tmp_path / "steps/one.lock").open() as other:
        fcntl.flock(other.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_failed_step_is_run_again(tmp_path: Path) -> None:
    def failing() -> dict[str, int]:
        raise ConfigError("no")

    with pytest.raises(ConfigError):
        Workspace(tmp_path).once("one", failing)
    assert Workspace(tmp_path).once("one", lambda: {"done": 1})["done"] == 1


def test_other_settings_are_refused(tmp_path: Path) -> None:
    for _ in range(2):
        Workspace(tmp_path).settings({"seed": 0})
    with pytest.raises(ConfigError, match="was begun with other settings"):
        Workspace(tmp_path).settings({"seed": 1})
