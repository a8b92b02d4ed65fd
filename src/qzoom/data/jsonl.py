"""JSONL files, read line by line and written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from qzoom.data.fields import mapping
from qzoom.data.files import replacing
from qzoom.data.records import Record, record_from_json, to_json
from qzoom.errors import DataError

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class RecordFile:
    """The records of a file, read anew each time it is gone through; none stays in memory."""

    path: Path

    def __iter__(self) -> Iterator[Record]:
        return read_records(self.path)


def read_records(path: Path) -> Iterator[Record]:
    """The records of a file, one at a time.

    Raises:
        DataError: at the first bad row, named by its line.
    """
    for _, record in scan_records(path):
        if isinstance(record, DataError):
            raise record
        yield record


def scan_records(path: Path) -> Iterator[tuple[int, Record | DataError]]:
    """Line numbers (from 1) with a record, or with what is wrong with the line."""
    for line, value in scan_objects(path):
        if isinstance(value, DataError):
            yield line, value
            continue
        try:
            yield line, record_from_json(value, f"{path}:{line}")
        except DataError as error:
            yield line, error


def scan_objects(path: Path) -> Iterator[tuple[int, dict[str, Any] | DataError]]:
    """Line numbers (from 1) with a JSON object, or with what is wrong with the line."""
    try:
        with path.open("rb") as file:
            for number, line in _lines(file):
                if line is None or line.strip():
                    yield number, _object_or_error(line, f"{path}:{number}")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


def write_records(path: Path, records: Iterable[Record]) -> int:
    """Write records and return how many; the file appears only when all are written."""
    return write_objects(path, (to_json(record) for record in records))


def write_objects(path: Path, objects: Iterable[dict[str, Any]]) -> int:
    """Write JSON objects and return how many; the file appears only when all are written."""
    count = 0
    with replacing(path) as file:
        for obj in objects:
            file.write(json.dumps(obj, ensure_ascii=False, allow_nan=False).encode() + b"\n")
            count += 1
    return count


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Numbered lines; None for one that is too long, so that memory stays small."""
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) <= MAX_LINE_BYTES or line.endswith(b"\n"):
            yield number, line.removeprefix(_BOM) if number == 1 else line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(MAX_LINE_BYTES)
        yield number, None


def _object_or_error(line: bytes | None, where: str) -> dict[str, Any] | DataError:
    if line is None:
        return DataError(f"{where}: the line is longer than {MAX_LINE_BYTES} bytes")
    try:
        return mapping(json.loads(line.decode()), "the line")
    except DataError as error:
        return DataError(f"{where}: {error}")
    except UnicodeDecodeError:
        return DataError(f"{where}: the line is not UTF-8; convert the file")
    except RecursionError:
        return DataError(f"{where}: the line is nested too deep")
    except ValueError as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "a number is too long"
        hint = "" if line.endswith(b"\n") else "; it has no newline, perhaps the file is cut short"
        return DataError(f"{where}: the line is not JSON: {reason}{hint}")
