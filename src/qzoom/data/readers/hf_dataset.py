"""Tables in parquet or arrow files, as Hugging Face datasets are stored.

An image cell is {bytes, path} or bytes. Bytes are written once below the image root, under the
hash of their content; a cell without bytes is a path below the image root.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from qzoom.data import fields
from qzoom.data.files import replacing
from qzoom.data.paths import relative_path
from qzoom.data.readers.options import ReadOptions, Row, each_row
from qzoom.data.readers.rows import answers_of, name_of
from qzoom.data.records import PixelBox, Record, Turn, box_of
from qzoom.data.tables import SUFFIXES, table_cells
from qzoom.errors import DataError

COLUMNS: Final = ("question", "answers", "image", "id", "boxes")
"""Names that --column may map; `boxes` holds pixel boxes (x1, y1, x2, y2)."""

_MAGIC: Final = (
    (b"\x89PNG", "png"), (b"\xff\xd8\xff", "jpg"), (b"GIF8", "gif"), (b"BM", "bmp"),
    (b"II*\0", "tif"), (b"MM\0*", "tif"),
)  # fmt: skip


def read(inputs: Sequence[Path], options: ReadOptions) -> Iterator[Record | DataError]:
    """Records of the rows of files, or of all parquet and arrow files of folders."""
    _said(options)
    rows = (row for path in _files(inputs) for row in _rows(path))
    return each_row(rows, partial(_record, options=options))


def _record(place: Row, options: ReadOptions) -> Record:
    row: dict[str, Any] = place.value
    columns = _columns(row, options.columns)
    cells = {ours: row[column] for ours, column in columns.items()}
    boxes = tuple(_boxes(cells.get("boxes")))
    turn = Turn(cells["question"], answers_of(cells.get("answers"), "answers"), boxes)
    dataset, licence = _said(options)
    known = cells.get("id")
    name = f"{place.path.stem}-{place.index}" if known is None else name_of(known, "id")
    return Record(
        id=f"{dataset}-{name}",
        images=(_image(cells["image"], options),),
        turns=(turn,),
        dataset=dataset,
        mode=options.mode or "textual",
        licence=licence,
        source=place.path.name,
        split=options.split,
    )


def _said(options: ReadOptions) -> tuple[str, str]:
    """Dataset and licence, which the caller has to say."""
    if options.dataset is None or options.licence is None:
        raise DataError("a table does not say what it is; give --dataset and --licence")
    return options.dataset, options.licence


def _image(cell: object, options: ReadOptions) -> str:
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    if isinstance(data, bytes):
        folder = options.prefix if options.prefix is not None else options.dataset
        return _store(data, options.images, folder or "")
    path = cell.get("path") if isinstance(cell, dict) else cell
    return options.path(fields.text(path, "image"))


def _files(inputs: Sequence[Path]) -> Iterator[Path]:
    for path in inputs:
        if not path.is_dir():
            yield path
            continue
        found = sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES)
        if not found:
            raise DataError(f"no .parquet or .arrow file in {path}")
        yield from found


def _rows(path: Path) -> Iterator[Row]:
    for index, cells in enumerate(table_cells(path)):
        yield Row(path, index, f"{path}[{index}]", cells)


def _columns(row: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    """Column names by ours; those not given are looked for under our own names."""
    for ours, column in given.items():
        if ours not in COLUMNS:
            raise DataError(f"--column has no {ours!r}{fields.suggestion(ours, COLUMNS)}")
        if column not in row:
            raise DataError(f"no column {column!r}{fields.suggestion(column, row)}")
    found = {name: name for name in COLUMNS if name in row} | dict(given)
    if "answers" not in found and "answer" in row:
        found["answers"] = "answer"
    for needed in ("question", "image"):
        if needed not in found:
            raise DataError(f"no {needed!r} column; give --column; there are {', '.join(row)}")
    return found


def _store(data: bytes, root: Path, folder: str) -> str:
    """Write an image's bytes below the root unless they are there, and return their path."""
    digest = hashlib.sha256(data).hexdigest()
    name = f"{folder.strip('/')}/{digest[:2]}/{digest}.{_extension(data)}".lstrip("/")
    relative = relative_path(name, "image")
    target = root / relative
    if not target.is_file() or target.stat().st_size != len(data):
        with replacing(target) as file:
            file.write(data)
    return relative


def _extension(data: bytes) -> str:
    for magic, extension in _MAGIC:
        if data.startswith(magic):
            return extension
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    raise DataError("the image's bytes are of no known format")


def _boxes(value: object) -> Iterator[PixelBox]:
    """Boxes of a cell that holds one box or a list of them."""
    boxes = [] if value is None else fields.items(value, "boxes")
    if boxes and not isinstance(boxes[0], list):
        boxes = [boxes]
    for index, box in enumerate(boxes):
        yield box_of(box, f"boxes[{index}]")
