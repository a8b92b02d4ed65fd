"""Batches made in worker processes, each a pure function of (seed, step), handed over in order."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from multiprocessing.connection import Connection

import numpy as np
import torch
from numpy.typing import NDArray

from qzoom.errors import QZoomError

Batch = dict[str, NDArray[np.generic]]
MakeBatch = Callable[[int], Batch]


def batches(
    make: MakeBatch, first: int, last: int, workers: int, ahead: int = 4
) -> Generator[Batch]:
    """Yield `make(step)` for each step in [first, last), computed by `workers` processes.

    Args:
        workers: 0 computes here, as does a platform that cannot fork; the batches are the same.
        ahead: finished batches that each worker keeps ready.

    Raises:
        QZoomError: as `make`; when a worker died, or failed in a way that nobody foresaw: then its
            traceback is on the error stream.
    """
    if workers == 0 or "fork" not in multiprocessing.get_all_start_methods():
        yield from map(make, range(first, last))
        return
    crew: list[_Worker] = []
    try:
        for index in range(workers):
            steps = range(first + index, last, workers)
            crew.append(_Worker(make, steps, ahead, [other.reader for other in crew]))
        for step in range(first, last):
            yield crew[(step - first) % workers].take()
    finally:
        for worker in crew:
            worker.stop()


class _Worker:
    """One process and the pipe its batches come through."""

    def __init__(
        self, make: MakeBatch, steps: range, ahead: int, inherited: Sequence[Connection]
    ) -> None:
        context = multiprocessing.get_context("fork")
        self.reader, writer = context.Pipe(duplex=False)
        ends = [self.reader, *inherited]
        self.process = context.Process(
            target=_work, args=(make, steps, ahead, writer, ends), daemon=True
        )
        self.process.start()
        # With its only other holder gone, the pipe ends when the worker does, however it dies.
        writer.close()

    def take(self) -> Batch:
        """Wait for the next batch."""
        try:
            found: Batch | QZoomError = self.reader.recv()
        except (EOFError, OSError):
            self.process.join()
            raise QZoomError(f"a data worker {_cause(self.process.exitcode)}") from None
        if isinstance(found, QZoomError):
            raise found
        return found

    def stop(self) -> None:
        """End the process and wait until it is gone."""
        self.process.terminate()
        self.process.join()
        self.reader.close()


def _cause(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"was killed by signal {-exit_code}; is there enough memory?"
    return f"ended with code {exit_code}; see its traceback above"


def _work(
    make: MakeBatch, steps: range, ahead: int, writer: Connection, inherited: Sequence[Connection]
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers itself
    # The threads of a parent do not survive a fork; waiting for them would never end.
    torch.set_num_threads(1)
    # A reading end kept open here would hide the parent's death from the writers.
    for end in inherited:
        end.close()
    ready: queue.Queue[Batch | QZoomError | None] = queue.Queue(ahead)
    sender = threading.Thread(target=_send, args=(ready, writer), daemon=True)
    sender.start()
    try:
        for step in steps:
            ready.put(make(step))
    except QZoomError as error:
        ready.put(error)
    finally:
        ready.put(None)
        sender.join()


def _send(ready: queue.Queue[Batch | QZoomError | None], writer: Connection) -> None:
    while (batch := ready.get()) is not None:
        try:
            writer.send(batch)
        except OSError:
            os._exit(1)  # nobody reads any more; the main thread may be waiting for room
