"""TextVQA's question files: TextVQA_0.5.1_train.json and _val.json.

A JSON object whose `data` is a list of rows with question, question_id, image_id, set_name and
ten human answers. The images of both are unpacked to train_images/<image_id>.jpg.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from qzoom.data import fields
from qzoom.data.readers.options import ReadOptions, Row, each_row
from qzoom.data.readers.rows import answers_of, array_rows, name_of
from qzoom.data.records import Record, Turn
from qzoom.errors import DataError

_LICENCE: Final = "CC-BY-4.0"
_SOURCE: Final = "https://textvqa.org/dataset"
_FOLDER: Final = "textvqa/train_images"


def read(inputs: Sequence[Path], options: ReadOptions) -> Iterator[Record | DataError]:
    """Records with all ten answers, repeats included: they are votes."""
    return each_row(array_rows(inputs, key="data"), partial(_record, options=options))


def _record(place: Row, options: ReadOptions) -> Record:
    row = fields.mapping(place.value, "the row")
    image = name_of(fields.required(row, "image_id"), "image_id")
    question_id = name_of(fields.required(row, "question_id"), "question_id")
    turn = Turn(fields.required(row, "question"), answers_of(row.get("answers"), "answers"))
    return Record(
        id=f"textvqa-{question_id}",
        images=(options.path(f"{image}.jpg", _FOLDER),),
        turns=(turn,),
        dataset=options.dataset or "textvqa",
        mode=options.mode or "textual",
        licence=options.licence or _LICENCE,
        source=_SOURCE,
        split=options.split or row.get("set_name"),
    )
