"""LLaVA-1.5's instruction mix: llava_v1_5_mix665k.json.

A JSON array of {id, image, conversations}; rows without an image are text only. The reference
trains its region network on the rows whose image lies in gqa/ (natural) or ocr_vqa/ (textual).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from qzoom.data import fields
from qzoom.data.readers.conversations import turns_of
from qzoom.data.readers.modes import mode_of
from qzoom.data.readers.options import ReadOptions, Row, each_row
from qzoom.data.readers.rows import array_rows
from qzoom.data.records import Record
from qzoom.errors import DataError

ONLY: Final = ("gqa/", "ocr_vqa/")
_LICENCE: Final = "CC-BY-4.0"
_SOURCE: Final = "https://huggingface.co/datasets/liuhaotian/LLaVA-Instruct-150K"


def read(inputs: Sequence[Path], options: ReadOptions) -> Iterator[Record | DataError]:
    """Records of the rows with wanted images; an id ends in the row's index in its file."""
    return each_row(array_rows(inputs), partial(_record, options=options))


def _record(place: Row, options: ReadOptions) -> Record | None:
    row = fields.mapping(place.value, "the row")
    if "image" not in row:
        return None
    image = fields.text(row["image"], "image")
    if not image.startswith(options.only or ONLY):
        return None
    folder = image.split("/")[0]
    mode = options.mode or mode_of(folder)
    if mode is None:
        raise DataError(f"no mode is known for images in {folder!r}; give --mode")
    return Record(
        id=f"{place.path.stem}-{place.index}",
        images=(options.path(image),),
        turns=turns_of(fields.required(row, "conversations"), options.keep_suffix),
        dataset=options.dataset or folder,
        mode=mode,
        licence=options.licence or _LICENCE,
        source=_SOURCE,
        split=options.split or "train",
    )
