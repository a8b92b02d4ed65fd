"""The JSONL files hosted for Q-Zoom: question pools, universal inputs and post-training rows.

A row is {image, conversations}, or {image, text | prompt | question} with an optional answer or
answers, question_id or id, uid, dataset, mode and source. Its image may be absolute: the path on
the machine that made it, to be mapped with --map.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from qzoom.data import fields
from qzoom.data.readers.conversations import question_of, turns_of
from qzoom.data.readers.modes import mode_of
from qzoom.data.readers.options import ReadOptions, Row, each_row
from qzoom.data.readers.rows import answers_of, name_of, one_image, rows_of
from qzoom.data.records import Mode, Record, Turn
from qzoom.errors import DataError

_LICENCE: Final = "not stated for the file; that of each dataset in it"
_SOURCE: Final = "https://huggingface.co/datasets/YuhengSSS/Q-Zoom-Training"
_QUESTION_KEYS: Final = ("text", "prompt", "question")


def read(inputs: Sequence[Path], options: ReadOptions) -> Iterator[Record | DataError]:
    """Records of the rows with wanted images."""
    return each_row(rows_of(inputs), partial(_record, options=options))


def _record(place: Row, options: ReadOptions) -> Record | None:
    row = fields.mapping(place.value, "the row")
    image = options.path(one_image(fields.required(row, "image")))
    if not options.wanted(image):
        return None
    dataset = options.dataset or fields.text(row.get("dataset", place.path.stem), "dataset")
    return Record(
        id=_id(row, place),
        images=(image,),
        turns=_turns(row, options.keep_suffix),
        dataset=dataset,
        mode=options.mode or _mode(row, dataset, image),
        licence=options.licence or _LICENCE,
        source=_SOURCE,
        split=options.split or "train",
    )


def _id(row: dict[str, Any], place: Row) -> str:
    """The row's own unique id, or one of the same shape: file, question and row number."""
    if "uid" in row:
        return name_of(row["uid"], "uid")
    question = row.get("question_id", row.get("id", place.index))
    return f"{place.path.stem}:{name_of(question, 'question_id')}:{place.index}"


def _turns(row: dict[str, Any], keep_suffix: bool) -> tuple[Turn, ...]:
    if "conversations" in row:
        return turns_of(row["conversations"], keep_suffix)
    key = next((key for key in _QUESTION_KEYS if key in row), None)
    if key is None:
        raise DataError("no conversations, text, prompt or question")
    question = question_of(fields.text(row[key], key), keep_suffix)
    answers = row.get("answers", row.get("answer"))
    return (Turn(question, answers_of(answers, "answers")),)


def _mode(row: dict[str, Any], dataset: str, image: str) -> Mode:
    if "mode" in row:
        mode: Mode = row["mode"]
        return mode
    # A merged file has no name to go by, but its images have a folder.
    known = mode_of(dataset, image)
    if known is None:
        raise DataError(f"no mode is known for dataset {dataset!r}; give --mode")
    return known
