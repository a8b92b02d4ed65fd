"""Two processes on a CPU train what one does: replicas, shards, stops and errors."""

from __future__ import annotations

import shutil
import signal
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.train.real import train_region_branch, without_pictures
from tests.train.together import LONG, SETTINGS, SPOILT, start, train

from qzoom.errors import ConfigError
from qzoom.train.metrics import read_metrics
from qzoom.train.parallel import own_device, processes
from qzoom.train.state import read_notes, states, step_of

pytest.importorskip("accelerate")
KINDS = ("replicas", "shards")


@pytest.fixture(scope="module")
def root(labelled: Path) -> Path:
    """Folders of all that two processes can do in one go."""
    real = (f"{what}-{kind}" for what in ("region", "spoilt") for kind in KINDS)
    jobs = ("bad", "bad-shards", "muon", "odd", *KINDS, *real, "spoilt-limit")
    assert start(2, labelled, *jobs) == [0, 0]
    return labelled


def same(folder: Path, other: Path, name: str) -> None:
    mine, theirs = (load_file(states(f)[-1] / f"{name}.safetensors") for f in (folder, other))
    assert mine.keys() == theirs.keys()
    for key, value in mine.items():
        torch.testing.assert_close(value, theirs[key], atol=2e-6, rtol=1e-5, msg=f"{name} {key}")


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in read_metrics(folder / "metrics.jsonl")]


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_are_one(root: Path, tmp_path: Path, kind: str) -> None:
    stage = train(tmp_path, SETTINGS)
    assert losses(root / kind) == pytest.approx(losses(tmp_path), abs=1e-4)
    assert len(losses(root / kind)) == 3
    same(root / kind, tmp_path, "net")
    same(root / kind, tmp_path, "optimizers")
    fresh = torch.nn.Module.state_dict(type(stage)().net)
    assert not torch.equal(fresh["enter.weight"], stage.net.enter.weight)


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_train_a_region_branch_as_one(root: Path, tmp_path: Path, kind: str) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(root / "labels", tmp_path / "labels")
    for number in range(4):
        shutil.copy(root / f"{number}.png", tmp_path)
    train_region_branch(alone, SETTINGS)
    assert losses(root / f"region-{kind}") == pytest.approx(losses(alone), abs=1e-4)
    same(root / f"region-{kind}", alone, "region")


@pytest.mark.parametrize("kind", KINDS)
def test_micro_batches_without_a_picture_hold_no_process_up(
    root: Path, tmp_path: Path, kind: str
) -> None:
    without_pictures(root, tmp_path)
    train_region_branch(tmp_path / "run", SPOILT)
    together = root / f"spoilt-{kind}-data" / "run"
    lines = [read_metrics(f / "metrics.jsonl") for f in (together, tmp_path / "run")]
    # Two of eight dialogues have their picture; a step sees half of them, sometimes none.
    assert [line["bad_images"] for line in lines[0]] == [line["bad_images"] for line in lines[1]]
    assert lines[0][-1]["bad_images"] == 18
    learnt = [[line.get("loss", -1.0) for line in each] for each in lines]
    assert learnt[0] == pytest.approx(learnt[1], abs=1e-4)
    assert -1.0 in learnt[0]
    assert max(learnt[0]) > 0
    same(together, tmp_path / "run", "region")
    notes = [read_notes(folder) for folder in (together, tmp_path / "run")]
    assert notes[0] == notes[1] == {"window": {}, "pictures": [24, 18]}


def test_every_process_stops_at_the_limit_of_all(root: Path) -> None:
    found = [(root / f"spoilt-limit-{rank}.txt").read_text() for rank in range(2)]
    assert found[0] == found[1]
    assert "18 of 24 pictures are bad (limit 50%), such as: no image" in found[0]


@pytest.mark.parametrize("name", ["bad", "bad-shards"])
def test_every_process_hears_of_a_loss_that_is_not_finite(root: Path, name: str) -> None:
    found = [(root / f"{name}-{rank}.txt").read_text() for rank in range(2)]
    expected = "points: loss is nan at step 1 (samples p28, p29, p30, p31); the last state is kept"
    assert found == [expected] * 2
    assert states(root / name) == []


def test_what_cannot_be_shared_out_says_so(root: Path) -> None:
    assert "set muon_lr: 0" in (root / "muon-0.txt").read_text()
    assert "accumulate is 3 and 2 processes train" in (root / "odd-1.txt").read_text()


def test_a_killed_training_goes_on_with_any_number_of_processes(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(whole, LONG)
    codes = start(2, tmp_path, "killed")
    assert codes[1] == -signal.SIGKILL
    assert codes[0] != 0
    assert [step_of(state) for state in states(killed)] == [3]
    rests = [f"rest-{kind}" for kind in KINDS]
    for name in (*rests, "alone"):
        shutil.copytree(killed, tmp_path / name)
    assert start(2, tmp_path, *rests) == [0, 0]
    train(tmp_path / "alone", LONG, seed=7)
    for folder in (tmp_path / name for name in (*rests, "alone")):
        assert losses(folder) == pytest.approx(losses(whole), abs=1e-4)
        same(folder, whole, "net")
        same(folder, whole, "optimizers")


def test_launchers_that_shard_by_themselves_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ConfigError, match="shard: true is FSDP2"):
        processes()


def test_without_accelerate_several_processes_say_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    monkeypatch.delitem(sys.modules, "accelerate.state", raising=False)
    with pytest.raises(ConfigError, match=r"qzoom\[distributed\]"):
        processes()
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert processes(shard=True).count == 1


def test_cuda_is_the_gpu_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert own_device("cuda") == "cuda"
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert [own_device(name) for name in ("cuda", "cuda:1", "cpu", None)] == [
        "cuda:3", "cuda:1", "cpu", None,
    ]  # fmt: skip
