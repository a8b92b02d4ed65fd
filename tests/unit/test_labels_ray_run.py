"""Labelling with Ray: the files of a plain run, and errors in one line.

A stand-in for Ray runs everywhere; the real one where it is installed.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.tiny_chat import chat_checkpoint, picture

from qzoom.checkpoints.save import save_checkpoint
from qzoom.cli import main

HEADS = {"textual": {"2": [0, 1]}, "natural": {"3": [2]}}
SETTINGS = "layout: native\ncells: 30\nmax_new_tokens: 4\nsinks: none\n"
SETTINGS += "rule: {min_peak: 0.0, max_box_share: 2.0}\n"


class RayError(Exception):
    """Base of the stand-in's errors."""


class RayTaskError(RayError):
    """Wraps what a task raised."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(f"traceback\nof {cause}")
        self.cause = cause


class _Method:
    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call

    def remote(self, *args: Any) -> Any:
        # What crosses a process border is copied.
        return lambda: copy.deepcopy(self.call(*args))


class _Actor:
    def __init__(self, kind: Any, args: Any) -> None:
        # What crosses a process border is copied; an error here would lose the actor.
        self._made = kind(*pickle.loads(pickle.dumps(args)))

    @property
    def run(self) -> _Method:
        return _Method(self._made.run)


class _ActorPool:
    def __init__(self, actors: list[_Actor]) -> None:
        self.actors = actors

    def map_unordered(self, task: Any, values: Iterable[Any]) -> Iterator[Any]:
        works = [task(self.actors[n % len(self.actors)], v) for n, v in enumerate(values)]
        for work in reversed(works):
            try:
                yield work()
            except RayError:
                raise
            except Exception as error:
                raise RayTaskError(error) from None


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replaces Ray; lists what was asked of it."""
    calls: list[str] = []
    ray: Any = ModuleType("ray")
    ray.init = lambda **_: calls.append("init")
    ray.shutdown = lambda: calls.append("shutdown")

    def remote(num_gpus: int) -> Callable[[Any], Any]:
        def wrap(kind: Any) -> Any:
            made: Any = ModuleType("actor class")
            made.remote = lambda *args: (
                calls.append(f"actor with {num_gpus} GPUs") or _Actor(kind, args)
            )
            return made

        return wrap

    ray.remote = remote
    ray.util, ray.exceptions = ModuleType("ray.util"), ModuleType("ray.exceptions")
    ray.util.ActorPool = _ActorPool
    ray.exceptions.RayError, ray.exceptions.RayTaskError = RayError, RayTaskError
    for module in (ray, ray.util, ray.exceptions):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return calls


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, five questions about pictures, and their labels by a plain run."""
    root = tmp_path_factory.mktemp("ray")
    save_checkpoint(root / "model", chat_checkpoint("qwen3_vl", eos=None))
    (root / "images").mkdir()
    with (root / "records.jsonl").open("w") as file:
        for number in range(5):
            picture(220 + 20 * number, 200, seed=number).save(root / f"images/{number}.png")
            row = {
                "schema": 1, "id": str(number), "images": [f"{number}.png"],
                "turns": [{"question": "what?", "answers": []}], "dataset": "toy",
                "mode": "textual", "licence": "none", "source": "here",
            }  # fmt: skip
            file.write(json.dumps(row) + "\n")
    (root / "heads.json").write_text(json.dumps(HEADS))
    (root / "settings.yaml").write_text(SETTINGS)
    assert label(root, root / "plain") == 0
    return root


def label(root: Path, out: Path, *more: str) -> int:
    files = ["--images", f"{root}/images", "--heads", f"{root}/heads.json", "--out", str(out)]
    files += ["--settings", f"{root}/settings.yaml", "--model", f"{root}/model"]
    return main(["label", "region", f"{root}/records.jsonl", *files, "--shard-size", "2", *more])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_files_of_a_plain_run(
    folder: Path, tmp_path: Path, stand_in: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert label(folder, tmp_path, "--ray", "2") == 0
    assert contents(tmp_path) == contents(folder / "plain")
    assert len(contents(tmp_path)) == 2 * 3 + 1
    assert stand_in == ["init", "actor with 0 GPUs", "actor with 0 GPUs", "shutdown"]
    shown = capsys.readouterr()
    assert json.loads(shown.out)["labelled"] == 5
    assert "3/3 shards: 5 questions labelled" in shown.err
    # A second run has nothing left to do.
    assert label(folder, tmp_path, "--ray", "9") == 0
    assert json.loads(capsys.readouterr().out) | {"teaching": 0} == {
        "labelled": 0, "teaching": 0, "bad_images": 0, "shards": 0, "kept": 3,
    }  # fmt: skip
    assert stand_in.count("actor with 0 GPUs") == 2 + 3


def test_errors_of_a_task_are_its_own(
    folder: Path, tmp_path: Path, stand_in: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert label(folder, folder / "plain", "--ray", "2", "--dtype", "bfloat17") == 2
    error = capsys.readouterr().err
    assert "bfloat17" in error
    assert error.count("\n") == 1
    assert stand_in[-1] == "shutdown"


def test_a_lost_actor_is_named(
    folder: Path,
    tmp_path: Path,
    stand_in: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lost(self: Any) -> None:
        raise RayError("The actor died\nmore")

    monkeypatch.setattr(_Actor, "run", property(lost))
    assert label(folder, tmp_path, "--ray", "2") == 2
    assert "a Ray actor was lost: The actor died; run again to go on" in capsys.readouterr().err


def test_what_cannot_be_combined_or_is_missing(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert label(folder, tmp_path, "--ray", "2", "--parts", "2") == 2
    assert "give --parts or --ray" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)
    assert label(folder, tmp_path, "--ray", "2") == 2
    assert "pip install 'qzoom[ray]'" in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_the_real_thing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).resolve().parents[2] / 'src'}")
    assert label(folder, tmp_path, "--ray", "2") == 0
    assert contents(tmp_path) == contents(folder / "plain")
