"""Work done in a forked child that is killed at a chosen moment, or that finds its disk full.

The kill comes from the system itself: SIGKILL before the n-th change of the file system (files
opened for writing, renamed, removed, synced ...), or SIGXFSZ in the middle of a write.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Final

_CHANGES: Final = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod")
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclass(frozen=True)
class Outcome:
    """How a child ended.

    signal: that ended it, 0 for none; changes: of the file system, counted to its end; error: text
    of what was raised; value: what the work returned.
    """

    signal: int
    changes: int = 0
    error: str = ""
    value: Any = None


def in_child(
    work: Callable[[], object],
    *,
    die_at: int = 0,
    largest_file: int | None = None,
    die_when_full: bool = False,
) -> Outcome:
    """Run work in a child.

    Args:
        die_at: change of the file system, from 1, before which the child is killed; 0 for none.
        largest_file: bytes beyond which no file may grow: the system then refuses the write.
        die_when_full: that write kills the child instead.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _live(work, writer, die_at, largest_file, die_when_full)
    os.close(writer)
    with open(reader, "rb") as pipe:
        report = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return Outcome(os.WTERMSIG(status))
    return Outcome(0, **json.loads(report))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _live(
    work: Callable[[], object],
    writer: int,
    die_at: int,
    largest_file: int | None,
    die_when_full: bool,
) -> None:
    counter = _Counter(die_at)
    report: dict[str, Any] = {}
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL if die_when_full else signal.SIG_IGN)
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
        # Where pytest gathers output there may be no room for more.
        sys.stdout = sys.stderr = StringIO()
        counter.start()
        report = {"value": work()}
    except BaseException as error:
        report = {"error": f"{type(error).__name__}: {error}"}
    finally:
        counter.die_at = 0
        os.write(writer, json.dumps({**report, "changes": counter.count}).encode())
        os._exit(0)


class _Counter:
    """Counts changes of the file system and kills the process before one of them."""

    def __init__(self, die_at: int) -> None:
        self.die_at, self.count = die_at, 0

    def start(self) -> None:
        fsync = os.fsync

        def counted(file: int) -> None:
            self._change()
            fsync(file)

        os.fsync = counted
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        opened = event == "open" and isinstance(args[0], str) and args[2] & _WRITING
        if (opened and "/dev/" not in args[0]) or event in _CHANGES:
            self._change()

    def _change(self) -> None:
        self.count += 1
        if self.count == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
