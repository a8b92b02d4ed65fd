"""Visual-CoT's metadata: docvqa_cot_train.jsonl and its sisters, one JSON object a line.

Each row has question, answer, image (a bare file name), width, height, bboxs (pixels, x1 y1 x2
y2), dataset and split; some have possible_answers. Its images are unpacked to cot/<dataset>/.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from qzoom.data import fields
from qzoom.data.readers.modes import mode_of
from qzoom.data.readers.options import ReadOptions, Row, each_row
from qzoom.data.readers.rows import answers_of, line_rows, name_of
from qzoom.data.records import PixelBox, Record, Turn, box_of
from qzoom.errors import DataError

# The card's text says so; its header says Apache-2.0. The narrower one is recorded.
_LICENCE: Final = "CC-BY-NC-4.0"
_SOURCE: Final = "https://huggingface.co/datasets/deepcs233/Visual-CoT"
# TextCaps asks about the images of TextVQA.
_FOLDERS: Final = {"textcap": "textvqa"}


def read(inputs: Sequence[Path], options: ReadOptions) -> Iterator[Record | DataError]:
    """Records with the boxes of the answer; an id ends in the row's index in its file."""
    return each_row(line_rows(inputs), partial(_record, options=options))


def _record(place: Row, options: ReadOptions) -> Record | None:
    row = fields.mapping(place.value, "the row")
    dataset = fields.text(fields.required(row, "dataset"), "dataset")
    folder = f"cot/{_FOLDERS.get(dataset, dataset)}"
    image = options.path(name_of(fields.required(row, "image"), "image"), folder)
    if not options.wanted(image):
        return None
    mode = options.mode or mode_of(dataset)
    if mode is None:
        raise DataError(f"no mode is known for dataset {dataset!r}; give --mode")
    turn = Turn(fields.required(row, "question"), _answers(row), _boxes(row))
    return Record(
        id=f"{place.path.stem}-{place.index}",
        images=(image,),
        turns=(turn,),
        dataset=options.dataset or f"visual_cot_{dataset}",
        mode=mode,
        licence=options.licence or _LICENCE,
        source=_SOURCE,
        split=options.split or row.get("split"),
    )


def _answers(row: dict[str, Any]) -> tuple[str, ...]:
    """The answer, then the other accepted ones."""
    first = answers_of(fields.required(row, "answer"), "answer")
    others = answers_of(row.get("possible_answers"), "possible_answers")
    return tuple(dict.fromkeys(first + others))


def _boxes(row: dict[str, Any]) -> tuple[PixelBox, ...]:
    """Boxes cut to the image, repeats dropped."""
    width = fields.number(fields.required(row, "width"), "width")
    height = fields.number(fields.required(row, "height"), "height")
    boxes = []
    for index, box in enumerate(fields.items(fields.required(row, "bboxs"), "bboxs")):
        x1, y1, x2, y2 = box_of(box, f"bboxs[{index}]")
        boxes.append((max(x1, 0.0), max(y1, 0.0), min(x2, width), min(y2, height)))
    return tuple(dict.fromkeys(boxes))
