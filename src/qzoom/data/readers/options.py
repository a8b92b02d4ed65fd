"""What a reader may be told, and the loop that all readers share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from qzoom.data.paths import moved
from qzoom.data.records import Mode, Record
from qzoom.errors import DataError


@dataclass(frozen=True)
class Row:
    """A row of a published file: its index from 0, where it is, and what it holds.

    value: a DataError when the row itself cannot be read.
    """

    path: Path
    index: int
    where: str
    value: Any


@dataclass(frozen=True)
class ReadOptions:
    """Settings of a reading; each reader lists in the registry which of them it takes.

    images: root of the images; paths in records are relative to it.
    prefix: folder put before image names, in place of the reader's own choice.
    moves: (old, new) leading parts of image paths.
    only: leading parts of image paths; rows with other images are left out.
    keep_suffix: whether the short-answer sentence at the end of a question stays.
    columns: our names to column names.
    dataset, mode, licence, split: in place of what the reader knows itself.
    """

    images: Path
    prefix: str | None = None
    moves: tuple[tuple[str, str], ...] = ()
    only: tuple[str, ...] = ()
    keep_suffix: bool = True
    columns: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    dataset: str | None = None
    mode: Mode | None = None
    licence: str | None = None
    split: str | None = None

    def path(self, name: str, prefix: str = "") -> str:
        """An image's path: moved, and with the prefix of the options or else of the reader."""
        folder = prefix if self.prefix is None else self.prefix
        joined = f"{folder.rstrip('/')}/{name}" if folder.rstrip("/") else name
        return moved(joined, self.moves)

    def wanted(self, path: str) -> bool:
        """Whether rows of this image are to be read."""
        return not self.only or path.startswith(self.only)


def each_row(
    rows: Iterable[Row], build: Callable[[Row], Record | None]
) -> Iterator[Record | DataError]:
    """Records of rows, None ones left out; a bad row gives its error and the rest goes on."""
    for row in rows:
        if isinstance(row.value, DataError):
            yield row.value
            continue
        try:
            record = build(row)
        except DataError as error:
            yield DataError(f"{row.where}: {error}")
            continue
        if record is not None:
            yield record
