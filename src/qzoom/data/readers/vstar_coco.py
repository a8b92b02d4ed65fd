"""V*'s instruction data for visual search: spatial_relation_data.json and its sisters.

A JSON array of {image, conversations, target_instances}. The first message lists the objects to
look at and then asks; target_instances holds a name and a box (x, y, width, height) for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from qzoom.data import fields
from qzoom.data.readers.conversations import question_of, turns_of
from qzoom.data.readers.options import ReadOptions, Row, each_row
from qzoom.data.readers.rows import answers_of, array_rows
from qzoom.data.records import PixelBox, Record, Turn
from qzoom.errors import DataError

_LICENCE: Final = "not stated by its owners; COCO annotations CC-BY-4.0"
_SOURCE: Final = "https://huggingface.co/datasets/craigwu/seal_vqa_data"
# Ends the list of objects in front of the question.
_OBJECT_MARK: Final = "<object>"


def read(inputs: Sequence[Path], options: ReadOptions) -> Iterator[Record | DataError]:
    """Records with the boxes of the objects asked about; an id ends in the row's index."""
    return each_row(array_rows(inputs), partial(_record, options=options))


def _record(place: Row, options: ReadOptions) -> Record | None:
    row = fields.mapping(place.value, "the row")
    image = options.path(fields.text(fields.required(row, "image"), "image"))
    if not options.wanted(image):
        return None
    first, *rest = _turns(row, options.keep_suffix)
    return Record(
        id=f"vstar-{place.path.stem}-{place.index}",
        images=(image,),
        turns=(replace(first, boxes_px_xyxy=_boxes(row)), *rest),
        dataset=options.dataset or "vstar_coco",
        mode=options.mode or "natural",
        licence=options.licence or _LICENCE,
        source=_SOURCE,
        split=options.split or "train",
    )


def _turns(row: dict[str, Any], keep_suffix: bool) -> tuple[Turn, ...]:
    if "conversations" not in row:
        question = question_of(fields.text(fields.required(row, "question"), "question"), True)
        return (Turn(question, answers_of(fields.required(row, "answer"), "answer")),)
    turns = turns_of(row["conversations"], keep_suffix)
    if not turns:
        raise DataError("conversations is empty")
    return tuple(replace(turn, question=_without_objects(turn.question)) for turn in turns)


def _without_objects(question: str) -> str:
    return question.rpartition(_OBJECT_MARK)[2].removeprefix(".").strip()


def _boxes(row: dict[str, Any]) -> tuple[PixelBox, ...]:
    boxes = []
    targets = fields.items(row.get("target_instances", []), "target_instances")
    for index, found in enumerate(targets):
        name = f"target_instances[{index}]"
        edges = fields.items(fields.required(fields.mapping(found, name), "bbox"), f"{name}.bbox")
        if len(edges) != 4:
            raise DataError(f"{name}.bbox must have 4 numbers, got {len(edges)}")
        x, y, width, height = (fields.number(edge, f"{name}.bbox") for edge in edges)
        boxes.append((x, y, x + width, y + height))
    return tuple(dict.fromkeys(boxes))
