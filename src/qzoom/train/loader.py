"""Batches made in worker processes, each a pure function of (seed, step), handed over in order."""

from __future__ import annotations

import multiprocessing
import queue
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess

import numpy as np
from numpy.typing import NDArray

Batch = dict[str, NDArray[np.generic]]
MakeBatch = Callable[[int], Batch]


def _work(make: MakeBatch, out: multiprocessing.Queue[Batch], first: int, last: int, by: int) -> None:
    for step in range(first, last, by):
        out.put(make(step))


def batches(make: MakeBatch, first: int, last: int, workers: int, ahead: int = 4) -> Iterator[Batch]:
    """Yield `make(step)` for each step in [first, last), computed by `workers` processes.

    Raises:
        RuntimeError: when a worker died.
    """
    if workers == 0:
        yield from map(make, range(first, last))
        return
    context = multiprocessing.get_context("fork")
    queues = [context.Queue(ahead) for _ in range(workers)]
    processes: list[BaseProcess] = [
        context.Process(target=_work, args=(make, q, first + i, last, workers), daemon=True)
        for i, q in enumerate(queues)
    ]
    for process in processes:
        process.start()
    try:
        for step in range(first, last):
            index = (step - first) % workers
            yield _take(queues[index], processes[index])
    finally:
        for process in processes:
            process.terminate()


def _take(source: multiprocessing.Queue[Batch], process: BaseProcess) -> Batch:
    while True:
        try:
            return source.get(timeout=5)
        except queue.Empty:
            if not process.is_alive():
                raise RuntimeError("a data worker died; see its traceback above") from None
