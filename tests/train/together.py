"""What several processes run in the tests of `qzoom.train.parallel`, and how they are started.

As a script: `together.py ROOT JOB...`, each job a name of `JOBS`.
"""

from __future__ import annotations

import atexit
import dataclasses
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from qzoom.errors import QZoomError
from qzoom.train.loader import Batch
from qzoom.train.loop import LoopSettings, run_stage
from qzoom.train.optim import OptimSettings
from qzoom.train.parallel import processes

REPOSITORY = Path(__file__).resolve().parents[2]
SIZE = 4
ADAMW = OptimSettings(muon_lr=0.0, adamw_lr=1e-2, warmup_steps=1, decay_steps=1)
SETTINGS = LoopSettings(
    steps=3, accumulate=4, log_every=1, save_every=100, workers=0, bf16=False, optim=ADAMW
)
LONG = dataclasses.replace(SETTINGS, steps=8, save_every=3)
SPOILT = dataclasses.replace(SETTINGS, steps=6, save_every=4, most_bad=1.0)
SHARDED = dataclasses.replace(SETTINGS, shard=True)


class Block(nn.Module):
    """Has what a decoder layer is known by."""

    def __init__(self) -> None:
        super().__init__()
        self.self_attn, self.norm = nn.Linear(6, 6), nn.LayerNorm(6)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + torch.tanh(self.self_attn(self.norm(x)))
        return out


class Net(nn.Module):
    """Two blocks, a head, and a part that no loss uses."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.enter, self.head = nn.Linear(4, 6), nn.Linear(6, 1)
        self.blocks = nn.ModuleList([Block(), Block()])
        self.frozen = nn.Linear(6, 6).requires_grad_(False)
        self.unused = nn.Linear(2, 2)


class Points:
    """Mean error over the points that count; every micro-batch has another number of them."""

    name = "points"

    def __init__(self, seed: int = 0, bad: int = -1, dies: int = -1) -> None:
        """`bad`: a point whose loss is not a number; `dies`: a place whose process is killed."""
        self.net = Net(seed)
        self.bad, self.dies = bad, dies

    def make_batch(self, place: int) -> Batch:
        rng = np.random.default_rng(place)
        known = rng.random(SIZE) < 0.6
        return {
            "place": np.array(place),
            "x": rng.normal(size=(SIZE, 4)).astype(np.float32),
            "known": known,
            "loss_weight": np.array(known.sum()),
            "sample_ids": np.array([f"p{SIZE * place + n}" for n in range(SIZE)]),
        }

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        if int(batch["place"]) == self.dies:
            os.kill(os.getpid(), signal.SIGKILL)
        x, known = torch.as_tensor(batch["x"]), torch.as_tensor(batch["known"])
        hidden = self.net.enter(x)
        for block in self.net.blocks:
            hidden = block(hidden)
        out = self.net.head(self.net.frozen(hidden))[:, 0]
        errors = (out - x.sum(1)).square()[known]
        loss = errors.mean() if len(errors) else 0.0 * out.sum()
        if f"p{self.bad}" in batch["sample_ids"]:
            loss = loss * torch.nan
        return loss, {"known": float(known.mean(dtype=torch.float32))}


def train(folder: Path, settings: LoopSettings, **kind: int) -> Points:
    """Train on points."""
    stage = Points(**kind)
    run_stage(stage, {"net": stage.net}, settings, folder)
    return stage


def error_of(folder: Path, settings: LoopSettings, **kind: int) -> None:
    """Keep what a training that must fail says, from each process."""
    try:
        train(folder, settings, **kind)
    except QZoomError as error:
        (folder.parent / f"{folder.name}-{processes().rank}.txt").write_text(str(error))


def region(folder: Path, settings: LoopSettings) -> None:
    """Train the region branch of a tiny model on the labels beside the folder."""
    from tests.train.real import train_region_branch

    train_region_branch(folder, settings)


def spoilt(folder: Path, settings: LoopSettings) -> None:
    """Train the region branch where all pictures but one are gone; keep what it says."""
    from tests.train.real import without_pictures

    root = folder.parent / f"{folder.name}-data"
    if processes().rank == 0:
        without_pictures(folder.parent, root)
    processes().wait()
    try:
        region(root / "run", settings)
    except QZoomError as error:
        (folder.parent / f"{folder.name}-{processes().rank}.txt").write_text(str(error))


JOBS: Mapping[str, Callable[[Path], object]] = {
    "replicas": lambda folder: train(folder, SETTINGS),
    "shards": lambda folder: train(folder, SHARDED),
    "bad": lambda folder: error_of(folder, SETTINGS, bad=SIZE * 7 + 1),
    "bad-shards": lambda folder: error_of(folder, SHARDED, bad=SIZE * 7 + 1),
    "muon": lambda folder: error_of(
        folder, dataclasses.replace(SHARDED, optim=OptimSettings(muon_lr=0.01))
    ),
    "odd": lambda folder: error_of(folder, dataclasses.replace(SETTINGS, accumulate=3)),
    "region-replicas": lambda folder: region(folder, SETTINGS),
    "region-shards": lambda folder: region(folder, SHARDED),
    "spoilt-replicas": lambda folder: spoilt(folder, SPOILT),
    "spoilt-shards": lambda folder: spoilt(folder, dataclasses.replace(SPOILT, shard=True)),
    "spoilt-limit": lambda folder: spoilt(folder, dataclasses.replace(SPOILT, most_bad=0.5)),
    # Place 21 is of step 5, two steps after the last state, and falls to the second process.
    "killed": lambda folder: train(folder, dataclasses.replace(LONG, shard=True), dies=21),
    "rest-replicas": lambda folder: train(folder, LONG, seed=5),
    "rest-shards": lambda folder: train(folder, dataclasses.replace(LONG, shard=True), seed=5),
}


def start(count: int, root: Path, *jobs: str) -> list[int]:
    """Run jobs in `count` processes, as a launcher would; the exit codes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {
        **os.environ,
        "PYTHONPATH": f"{REPOSITORY / 'src'}{os.pathsep}{REPOSITORY}",
        "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
    }
    running = [
        subprocess.Popen(
            [sys.executable, __file__, str(root), *jobs],
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(count)
    ]
    try:
        return [process.wait(timeout=120) for process in running]
    finally:
        for process in running:
            process.kill()


def no_thread_is_left() -> None:
    """End with status 3 when a thread of the group outlives it."""
    tasks = Path("/proc/self/task").glob("*/comm")
    left = [name for name in (task.read_text().strip() for task in tasks) if "gloo" in name]
    if left:
        sys.stderr.write(f"left at the end: {left}\n")
        sys.stderr.flush()
        os._exit(3)


if __name__ == "__main__":
    # Registered first, it is called last.
    atexit.register(no_thread_is_left)
    for job in sys.argv[2:]:
        JOBS[job](Path(sys.argv[1]) / job)
