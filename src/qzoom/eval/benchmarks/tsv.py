"""VLMEvalKit's tab-separated files: a header, then rows whose picture is base64 text.

A picture is written once; other rows hold the index of the row that has it. The csv module is not
used: its limit on the size of a cell is one for the whole process.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from qzoom.data.fields import shown
from qzoom.errors import DataError

MAX_ROW_BYTES: Final = 128 * 1024 * 1024
MAX_REFERENCE_CHARS: Final = 64
"""A shorter image cell is the index of another row."""

_CELL: Final = re.compile(r'"(?P<quoted>[^"]*(?:""[^"]*)*)"(?=\t|\Z)|(?P<plain>[^\t]*)')


class TsvFile:
    """Rows of a file, one at a time, and the pictures that rows refer to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._starts: dict[str, int] = {}
        self._complete = False

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Line numbers (from 1) where rows begin, and their cells by column.

        Raises:
            DataError: when the file cannot be read, or a row does not fit the header.
        """
        try:
            with self.path.open("rb") as file:
                yield from self._read(file)
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror}") from None
        self._complete = True

    def image_at(self, index: str) -> str:
        """The image cell of the row with that index.

        Raises:
            DataError: when there is none, or it is a reference too.
        """
        if index not in self._starts and not self._complete:
            for _ in self.rows():  # only a reference to a later row comes here
                if index in self._starts:
                    break
        if index not in self._starts:
            raise DataError(f"no row has the index {shown(index)} and a picture of its own")
        with self.path.open("rb") as file:
            header = self._header(file)
            file.seek(self._starts[index])
            _, cells = _record(file, f"{self.path}, row {index}")
        return dict(zip(header, cells, strict=False))["image"]

    def _read(self, file: BinaryIO) -> Iterator[tuple[int, dict[str, str]]]:
        header = self._header(file)
        number = 2
        while True:
            start, place = file.tell(), f"{self.path}:{number}"
            lines, cells = _record(file, place)
            if not lines:
                return
            number += lines
            if cells == [""]:
                continue
            if len(cells) != len(header):
                raise DataError(
                    f"{place}: {len(cells)} cells where the header has {len(header)}; perhaps the "
                    "file is cut short"
                )
            row = dict(zip(header, cells, strict=True))
            if len(row.get("image", "")) > MAX_REFERENCE_CHARS and "index" in row:
                self._starts.setdefault(row["index"], start)
            yield number - lines, row

    def _header(self, file: BinaryIO) -> list[str]:
        _, cells = _record(file, f"{self.path}:1")
        cells[0] = cells[0].removeprefix("\ufeff")
        if len(cells) < 2:
            raise DataError(f"{self.path} is no table: its first line has no tabs")
        return cells


def _record(file: BinaryIO, place: str) -> tuple[int, list[str]]:
    """Number of lines of the next row, 0 at the end of the file, and its cells."""
    lines: list[bytes] = []
    size = 0
    while line := file.readline(MAX_ROW_BYTES + 1):
        lines.append(line)
        size += len(line)
        if size > MAX_ROW_BYTES:
            raise DataError(f"{place}: a row is longer than {MAX_ROW_BYTES} bytes")
        # Only a quote can end the cell that a line before this one left open.
        if len(lines) > 1 and b'"' not in line:
            continue
        if (cells := _cells(b"".join(lines), place)) is not None:
            return len(lines), cells
    if lines:
        raise DataError(f"{place}: a quoted cell has no end; perhaps the file is cut short")
    return 0, [""]


def _cells(record: bytes, place: str) -> list[str] | None:
    """Cells of a row; None where a quoted one is still open."""
    try:
        text = record.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise DataError(f"{place}: the row is not UTF-8; convert the file") from None
    cells: list[str] = []
    at = 0
    while (found := _CELL.match(text, at)) is not None:  # an empty cell matches too
        plain = found["plain"]
        if plain is not None and plain.startswith('"'):
            return None
        cells.append(found["quoted"].replace('""', '"') if plain is None else plain)
        at = found.end() + 1
        if found.end() == len(text):
            break
    return cells
