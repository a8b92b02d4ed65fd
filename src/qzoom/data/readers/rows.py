"""Rows of JSON and JSONL files with the place of each, and values that many layouts share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from qzoom.data import fields
from qzoom.data.json_array import scan_array
from qzoom.data.jsonl import scan_objects
from qzoom.data.readers.options import Row
from qzoom.errors import DataError


def array_rows(inputs: Iterable[Path], key: str | None = None) -> Iterator[Row]:
    """Rows of JSON arrays, which are the whole file or the value of a key."""
    for path in inputs:
        for index, item in scan_array(path, key):
            yield Row(path, index, f"{path}[{index}]", item)


def line_rows(inputs: Iterable[Path]) -> Iterator[Row]:
    """Rows of JSONL files."""
    for path in inputs:
        for line, item in scan_objects(path):
            yield Row(path, line - 1, f"{path}:{line}", item)


def rows_of(inputs: Iterable[Path]) -> Iterator[Row]:
    """Rows of files that are JSONL when their name says so, and JSON arrays otherwise."""
    for path in inputs:
        yield from line_rows([path]) if path.suffix == ".jsonl" else array_rows([path])


def answers_of(value: object, name: str) -> tuple[str, ...]:
    """Accepted answers from a text, a number or a list of them; blank ones are left out."""
    found = value if isinstance(value, list) else [] if value is None else [value]
    return tuple(text for item in found if (text := _answer(item, name)).strip())


def _answer(value: object, name: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise DataError(f"{name} must be text or a number, got {fields.shown(value)}")


def name_of(value: object, name: str) -> str:
    """An id or a file name: text, or a whole number as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return fields.text(value, name)


def one_image(value: Any) -> str:
    """The path of an `image` field: a text or a list of one text."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return fields.text(value, "image")
