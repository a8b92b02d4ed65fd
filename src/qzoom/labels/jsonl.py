"""Files of JSON lines that survive a kill: appended to, or written whole.

A line counts once its newline is on disk. What a kill cut off is dropped when the file is opened
again, so a rerun goes on from the last whole line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from qzoom.data.files import Closing, naming, replacing
from qzoom.errors import ConfigError, LabelError

_BLOCK: Final = 1 << 16


class JsonlLog(Closing):
    """An append-only file; lines reach the system at once and the disk every `sync_every` lines."""

    def __init__(self, path: Path, *, sync_every: int = 64) -> None:
        """Open or make the file and drop a cut-off last line.

        Raises:
            ConfigError: If `sync_every` is below 1.
            LabelError: If another run has it open.
        """
        if sync_every < 1:
            raise ConfigError(f"sync_every is {sync_every}; it must be at least 1")
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        try:
            _lock(self._file, path)
        except LabelError:
            self._file.close()
            raise
        self._file.truncate(_whole_bytes(self._file))
        self._file.seek(0, os.SEEK_END)
        self._sync_every, self._unsynced = sync_every, 0

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one line."""
        with naming(self.path):
            self._file.write(encode_row(row))
            self._file.flush()
        self._unsynced += 1
        if self._unsynced >= self._sync_every:
            self.sync()

    def sync(self) -> None:
        """Wait until everything is on disk."""
        os.fsync(self._file.fileno())
        self._unsynced = 0

    def close(self) -> None:
        """Sync and close; once is enough."""
        if self._file.closed:
            return
        with naming(self.path):
            try:
                self.sync()
            finally:
                self._file.close()


def encode_row(row: Mapping[str, Any]) -> bytes:
    """One line of UTF-8, newline included.

    Raises:
        LabelError: If the row holds what JSON cannot.
    """
    try:
        return (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except UnicodeEncodeError:  # a lone surrogate, which only an escape can carry
        return (json.dumps(row, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise LabelError(f"a row cannot be written as JSON: {error}") from None


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Byte offset and content of every whole line, one at a time; a cut-off last one is left out.

    Raises:
        LabelError: If the file is missing, or a line is no JSON object.
    """
    try:
        with path.open("rb") as file:
            offset = 0
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    return
                yield offset, _decode(line, path, number)
                offset += len(line)
    except OSError as error:
        raise LabelError(f"{path} cannot be read: {error.strerror}") from None


def read_row_at(file: BinaryIO, offset: int, path: Path) -> dict[str, Any]:
    """The row that starts at a byte offset which `read_rows` gave."""
    file.seek(offset)
    return _decode(file.readline(), path, f"at byte {offset}")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write readable JSON, whole or not at all."""
    with replacing(path, resumable=True) as file:
        file.write((json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def same_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Store what a file is made with beside it, or check that it is still the same.

    Raises:
        ConfigError: If `path` was made under other settings.
    """
    wanted = json.loads(json.dumps(settings))
    found = settings_of(path)
    if found is None:
        write_json(_beside(path), wanted)
    else:
        refuse_other_settings(f"{path} was made", "file", found, wanted)


def settings_of(path: Path) -> dict[str, Any] | None:
    """What `same_settings` stored beside a file; None where there is nothing.

    Raises:
        LabelError: If it is damaged.
    """
    beside = _beside(path)
    if not beside.is_file():
        return None
    try:
        return dict(json.loads(beside.read_text(encoding="utf-8")))
    except (ValueError, TypeError, RecursionError):
        raise LabelError(f"{beside} is damaged; delete it along with {path.name}") from None


def refuse_other_settings(
    what: str, place: str, found: Mapping[str, Any], wanted: Mapping[str, Any]
) -> None:
    """Compare the settings of what is there with those of what would be added.

    Raises:
        ConfigError: Naming the first setting that differs.
    """
    for name in [*wanted, *found]:
        if found.get(name) != wanted.get(name):
            raise ConfigError(
                f"{what} with {name}={found.get(name)!r}, not {wanted.get(name)!r}; "
                f"give another {place} or the same settings"
            )


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}.settings.json")


def _decode(line: bytes, path: Path, where: int | str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        place = f"line {where}" if isinstance(where, int) else where
        raise LabelError(f"{path} {place} is no JSON object; delete that line")
    return row


def _whole_bytes(file: BinaryIO) -> int:
    """Bytes up to and including the last newline."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - _BLOCK)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _lock(file: BinaryIO, path: Path) -> None:
    """Keep a second run out for as long as the file is open, where the system can."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LabelError(f"{path} is being written by another run; wait for it") from None
    except OSError:
        return  # some network drives know no locks
