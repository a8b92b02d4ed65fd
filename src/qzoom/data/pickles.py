"""Pickles of plain data, read without the pickle module: nothing in them is ever executed.

A pickle is a program. Here its opcodes, as the standard library's disassembler lists them, are
interpreted by a small machine that knows lists, dicts, tuples, text, numbers, bytes, None and
numpy arrays and scalars. A program that asks for anything else is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from qzoom.data.pickle_machine import Machine
from qzoom.data.pickle_plain import PlainCheck
from qzoom.errors import DataError


@dataclass(frozen=True)
class PickleLimits:
    """Largest pickle that is read.

    max_bytes: of the file.
    max_items: opcodes run, and also items of the result with shared ones counted each time.
    max_depth: nesting of lists, dicts and tuples.
    max_memo: values the program may keep for later.
    """

    max_bytes: int = 4 * 1024**3
    max_items: int = 50_000_000
    max_depth: int = 32
    max_memo: int = 20_000_000


DEFAULT_LIMITS: Final = PickleLimits()


def read_pickle(path: Path, limits: PickleLimits = DEFAULT_LIMITS) -> Any:
    """The value of a pickle file. It is held in memory whole: about one and a half file sizes.

    Arrays share their bytes with what was read and cannot be written to.

    Raises:
        DataError: when the file is missing, cut short, damaged or over a limit, or holds anything
            but plain data; the message names the opcode or global and its byte.
    """
    try:
        with path.open("rb") as file:
            source = _Source(file, path.stat().st_size, limits.max_bytes)
            value = Machine(limits.max_items, limits.max_memo).run(source)
            source.expect_end()
        PlainCheck(limits.max_items, limits.max_depth).check(value)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    return value


class _Source:
    """A file that never hands out, or makes room for, more bytes than it has left."""

    def __init__(self, file: BinaryIO, size: int, max_bytes: int) -> None:
        if size > max_bytes:
            raise DataError(f"the file has {size} bytes, the limit is {max_bytes}")
        self._file = file
        self._size = size
        self._at = 0

    def tell(self) -> int:
        """Bytes handed out so far."""
        return self._at

    def read(self, count: int) -> bytes:
        """Exactly so many bytes."""
        if count > self._size - self._at:
            left = self._size - self._at
            raise DataError(f"{count} bytes are announced and {left} are left; it is cut short")
        self._at += count
        return self._file.read(count)

    def readline(self) -> bytes:
        """The rest of a line."""
        line = self._file.readline()
        self._at += len(line)
        return line

    def expect_end(self) -> None:
        """Refuse what comes after the program."""
        if self._at != self._size:
            raise DataError(f"{self._size - self._at} bytes follow the end of the pickle")
