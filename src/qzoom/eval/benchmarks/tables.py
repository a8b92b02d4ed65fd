"""Rows of published benchmark files: parquet and arrow tables, TSV, JSON and JSONL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qzoom.data import fields
from qzoom.data.json_array import scan_array
from qzoom.data.jsonl import scan_objects
from qzoom.data.tables import SUFFIXES, table_cells
from qzoom.errors import DataError
from qzoom.eval.benchmarks import cells
from qzoom.eval.benchmarks.published import files_of
from qzoom.eval.benchmarks.tsv import TsvFile
from qzoom.eval.samples import Sample


class _PlacedError(DataError):
    """Names file and row already."""


@dataclass(frozen=True)
class TableRow:
    """A row and where it is; every method raises a DataError that names file and row.

    place: file and row, for messages; index: of the row in its file, from 0.
    path: of the file; paths in cells are relative to its folder.
    fields: cells by column.
    image_at: of a TSV, the image cell of the row with an index; None elsewhere.
    """

    place: str
    index: int
    path: Path
    fields: Mapping[str, Any]
    image_at: Callable[[str], str] | None = None

    def text(self, name: str) -> str:
        """Text that is not blank; a number is written out."""
        with self.placed():
            return cells.text_of(self._cell(name), name)

    def optional_text(self, name: str) -> str:
        """Text; empty where the column is missing, null or blank."""
        value = self.fields.get(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            return ""
        return self.text(name)

    def texts(self, name: str) -> tuple[str, ...]:
        """The texts of a list, or the only one; a TSV writes lists as Python does.

        Of a list some may be blank, but not all.
        """
        with self.placed():
            value = self._cell(name)
            if isinstance(value, str) and self.image_at is not None:
                value = cells.written_list(value)
            return cells.texts_of(value, name)

    def image(self, name: str = "image") -> bytes | Path:
        """Encoded bytes, or the path of a picture below the file's folder.

        A cell is bytes, {bytes, path}, base64 (with or without "data:...;base64,"), a path, or in
        a TSV the index of the row that has the picture.
        """
        with self.placed():
            return cells.image_of(self._cell(name), name, self.path.parent, self.image_at)

    def file(self, *names: str) -> Path:
        """The first of some paths below the file's folder that is there, or the last."""
        with self.placed():
            found = [cells.below(self.path.parent, name, "image") for name in names]
        return next((path for path in found if path.is_file()), found[-1])

    @contextmanager
    def placed(self) -> Iterator[None]:
        """Name file and row, once, in the DataErrors raised inside."""
        try:
            yield
        except _PlacedError:
            raise
        except DataError as error:
            raise _PlacedError(f"{self.place}: {error}") from None

    def _cell(self, name: str) -> Any:
        if name not in self.fields:
            there = ", ".join(map(str, self.fields))
            raise DataError(f"no column {name!r}; there are {there}")
        return self.fields[name]


def samples_of(rows: Iterable[TableRow], make: Callable[[TableRow], Sample]) -> Iterator[Sample]:
    """A sample of each row; what is wrong with one is said with its file and row."""
    for row in rows:
        with row.placed():
            sample = make(row)
        yield sample


def rows_at(
    path: Path, *, config: str | None = None, split: str | None = None, stem: str | None = None
) -> Iterator[TableRow]:
    """Rows of a file, or of the files of a folder that hold a benchmark, one at a time.

    Args:
        path: a .parquet, .arrow, .tsv, .jsonl or .json file (an array, or an object whose `data`
            is one), or a folder, searched as `published.files_of` says.
        config: such as "InfographicVQA"; split: such as "validation".
        stem: name, without its ending, of a file that belongs to no split: "DocVQA_VAL" of
            VLMEvalKit, for instance.

    Raises:
        DataError: when there is no file, or one is unreadable or damaged.
    """
    for file in files_of(path, config, split, stem):
        yield from _rows(file)


def _rows(path: Path) -> Iterator[TableRow]:
    if path.suffix in SUFFIXES:
        for index, row in enumerate(table_cells(path)):
            yield TableRow(f"{path}[{index}]", index, path, row)
    elif path.suffix == ".tsv":
        table = TsvFile(path)
        for index, (line, row) in enumerate(table.rows()):
            yield TableRow(f"{path}:{line}", index, path, row, table.image_at)
    elif path.suffix == ".jsonl":
        for index, (line, item) in enumerate(scan_objects(path)):
            if isinstance(item, DataError):
                raise item
            yield TableRow(f"{path}:{line}", index, path, item)
    elif path.suffix == ".json":
        for index, item in scan_array(path, _array_key(path)):
            place = f"{path}[{index}]"
            if not isinstance(item, dict):
                raise DataError(f"{place}: the row must be a JSON object, got {fields.shown(item)}")
            yield TableRow(place, index, path, item)
    else:
        raise DataError(f"{path} is no .parquet, .arrow, .tsv, .jsonl or .json file")


def _array_key(path: Path) -> str | None:
    """The key of the rows: "data" where the file holds an object."""
    try:
        with path.open("rb") as file:
            start = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    return "data" if start.startswith(b"{") else None
