"""The loader: the same batches whoever computes them, and no silence when a worker dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.train.parts import only, tokenizer

from qzoom.errors import QZoomError
from qzoom.train.cells import CellStage
from qzoom.train.loader import Batch, batches
from qzoom.train.questions import QuestionStage

ROOT = Path(__file__).resolve().parents[2]
# Larger than a pipe holds, so that a worker is usually in the middle of sending.
LARGE = 300_000


def numbered(step: int) -> Batch:
    return {"step": np.array([step, os.getpid()]), "body": np.full(LARGE, step % 250, np.uint8)}


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_batches_come_in_order(workers: int) -> None:
    seen = list(batches(numbered, 3, 12, workers))
    assert [int(batch["step"][0]) for batch in seen] == list(range(3, 12))
    assert all((batch["body"] == step % 250).all() for step, batch in enumerate(seen, 3))
    pids = {int(batch["step"][1]) for batch in seen}
    assert len(pids) == max(1, workers)
    assert (os.getpid() in pids) == (workers == 0)
    assert wait_for(lambda: not any(alive(pid) for pid in pids - {os.getpid()}))


def test_no_steps_need_no_batches() -> None:
    assert list(batches(numbered, 5, 5, 2)) == []


@pytest.mark.parametrize("stage", ["cells", "questions"])
def test_workers_change_nothing(stage: str) -> None:
    make: Callable[[int], Batch]
    cells = CellStage(None, None, 7, batch_size=2, side=2)  # type: ignore[arg-type]
    if stage == "cells":
        make = cells.make_batch
    else:
        mix = only("zoom", 180)
        make = QuestionStage(None, tokenizer(), cells, 7, mix).make_batch  # type: ignore[arg-type]
    alone = list(batches(make, 2, 6, 0))
    for workers in (1, 2):
        for mine, theirs in zip(alone, batches(make, 2, 6, workers), strict=True):
            assert list(mine) == list(theirs)
            for key, value in mine.items():
                np.testing.assert_array_equal(value, theirs[key])
    again = make(4)
    np.testing.assert_array_equal(
        again["pixels" if stage == "cells" else "source"], next(iter(alone[2].values()))
    )


def test_an_error_in_a_worker_ends_the_training(capfd: pytest.CaptureFixture[str]) -> None:
    def broken(step: int) -> Batch:
        if step == 3:
            raise KeyError("no such word")
        return numbered(step)

    work = batches(broken, 0, 20, 1)
    assert [int(next(work)["step"][0]) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(QZoomError, match="a data worker ended with code 1; see its traceback"):
        next(work)
    assert "no such word" in capfd.readouterr().err


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_worker_ends_the_training(workers: int) -> None:
    work = batches(numbered, 0, 50, workers)
    pid = int(next(work)["step"][1])
    os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    with pytest.raises(QZoomError, match="was killed by signal 9; is there enough memory"):
        list(work)
    assert time.monotonic() - began < 30


def test_workers_end_when_nobody_wants_more() -> None:
    work = batches(numbered, 0, 50, 2)
    pids = [int(next(work)["step"][1]) for _ in range(2)]
    work.close()
    assert not any(alive(pid) for pid in pids)


def test_workers_do_not_outlive_a_killed_training() -> None:
    code = (
        "from tests.train.test_loader import batches, numbered\n"
        "work = batches(numbered, 0, 500, 2)\n"
        "print(*(int(next(work)['step'][1]) for _ in range(2)), flush=True)\n"
        "input()\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as training:
        assert training.stdout is not None
        pids = [int(pid) for pid in training.stdout.readline().split()]
        assert len(pids) == 2
        assert all(alive(pid) for pid in pids)
        training.kill()
    assert wait_for(lambda: not any(alive(pid) for pid in pids))


THREADED = """
import numpy as np, torch
from qzoom.train.loader import batches

def make(step):
    return {"sum": np.array(float(torch.ones(2000, 2000).add(step).sum()))}

torch.set_num_threads(2)
make(0)
print([float(batch["sum"]) for batch in batches(make, 0, 3, workers=2)])
"""


def test_workers_compute_after_the_parent_used_threads() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "2"}
    found = subprocess.run(
        [sys.executable, "-c", THREADED],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert found.stdout.strip() == "[4000000.0, 8000000.0, 12000000.0]"
