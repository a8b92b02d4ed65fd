"""ChartQA's split folders: train_human.json and train_augmented.json beside a folder png/.

Each file is a JSON array of {imgname, query, label}.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from qzoom.data import fields
from qzoom.data.readers.options import ReadOptions, Row, each_row
from qzoom.data.readers.rows import answers_of, array_rows
from qzoom.data.records import Record, Turn
from qzoom.errors import DataError

_LICENCE: Final = "GPL-3.0"
_SOURCE: Final = "https://github.com/vis-nlp/ChartQA"


def read(inputs: Sequence[Path], options: ReadOptions) -> Iterator[Record | DataError]:
    """Records of the question files; an id ends in the row's index in its file."""
    folders = {path: _png_folder(path, options) for path in inputs}
    return each_row(array_rows(inputs), lambda row: _record(row, folders[row.path], options))


def _png_folder(path: Path, options: ReadOptions) -> str:
    """The folder of a question file's charts, relative to the image root."""
    if options.prefix is not None:
        return options.prefix
    folder, root = path.resolve().parent / "png", options.images.resolve()
    if not folder.is_relative_to(root):
        raise DataError(f"{path} is not under {root}; give --prefix, the folder of its images")
    return folder.relative_to(root).as_posix()


def _record(place: Row, folder: str, options: ReadOptions) -> Record:
    row = fields.mapping(place.value, "the row")
    image = fields.text(fields.required(row, "imgname"), "imgname")
    answers = answers_of(fields.required(row, "label"), "label")
    return Record(
        id=f"chartqa-{place.path.stem}-{place.index}",
        images=(options.path(image, folder),),
        turns=(Turn(fields.required(row, "query"), answers),),
        dataset=options.dataset or "chartqa",
        mode=options.mode or "textual",
        licence=options.licence or _LICENCE,
        source=_SOURCE,
        split=options.split or place.path.stem.split("_")[0],
    )
