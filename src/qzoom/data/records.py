"""The one record schema: an image or more, questions about it, and where they come from.

A record is one line of a JSONL file; docs/data.md has the table of its fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from qzoom.data import fields
from qzoom.data.paths import relative_path
from qzoom.errors import DataError

SCHEMA: Final = 1

Mode = Literal["textual", "natural"]
"""Which grounding heads the labelling reads: those for text, or those for objects."""

PixelBox = tuple[float, float, float, float]
"""(x1, y1, x2, y2) in pixels of the first image, x2 and y2 exclusive."""

_TURN_KEYS: Final = ("question", "answers", "boxes_px_xyxy")
_RECORD_KEYS: Final = (
    "schema", "id", "images", "turns", "dataset", "mode", "licence", "source", "split",
)  # fmt: skip


@dataclass(frozen=True)
class Turn:
    """A question with its accepted answers.

    answers: any of them is right, repeats count as votes; empty when the answer is not known.
    boxes_px_xyxy: where in the first image the answer is, in its pixels; empty when not known.
    """

    question: str
    answers: tuple[str, ...] = ()
    boxes_px_xyxy: tuple[PixelBox, ...] = ()

    def __post_init__(self) -> None:
        fields.text(self.question, "question")
        for index, answer in enumerate(self.answers):
            fields.text(answer, f"answers[{index}]")
        for index, box in enumerate(self.boxes_px_xyxy):
            _check_box(box, f"boxes_px_xyxy[{index}]")


@dataclass(frozen=True)
class Record:
    """Questions about one or several images.

    images: paths relative to an image root, with forward slashes.
    licence: terms of the data, as its owners name them.
    source: URL or name of where the data came from.
    """

    id: str
    images: tuple[str, ...]
    turns: tuple[Turn, ...]
    dataset: str
    mode: Mode
    licence: str
    source: str
    split: str | None = None

    def __post_init__(self) -> None:
        for name in ("id", "dataset", "licence", "source"):
            fields.text(getattr(self, name), name)
        if self.mode not in get_args(Mode):
            raise DataError(f"mode must be 'textual' or 'natural', got {fields.shown(self.mode)}")
        if self.split is not None:
            fields.text(self.split, "split")
        if not self.images or not self.turns:
            raise DataError("a record needs at least one image and one turn")
        for index, path in enumerate(self.images):
            relative_path(path, f"images[{index}]")


def record_from_json(obj: object, where: str) -> Record:
    """The record of a JSON object.

    Args:
        where: names the object in errors, such as "train.jsonl:12".

    Raises:
        DataError: when a key is missing or unknown, or a value does not fit.
    """
    try:
        return _record(fields.mapping(obj, "a record"))
    except DataError as error:
        raise DataError(f"{where}: {error}") from None


def to_json(record: Record) -> dict[str, Any]:
    """The JSON object of a record; `record_from_json` gives back an equal record."""
    obj: dict[str, Any] = {
        "schema": SCHEMA,
        "id": record.id,
        "images": list(record.images),
        "turns": [_turn_to_json(turn) for turn in record.turns],
        "dataset": record.dataset,
        "mode": record.mode,
        "licence": record.licence,
        "source": record.source,
    }
    return obj if record.split is None else obj | {"split": record.split}


def _turn_to_json(turn: Turn) -> dict[str, Any]:
    obj: dict[str, Any] = {"question": turn.question, "answers": list(turn.answers)}
    if turn.boxes_px_xyxy:
        obj["boxes_px_xyxy"] = [list(box) for box in turn.boxes_px_xyxy]
    return obj


def _record(obj: dict[str, Any]) -> Record:
    fields.only_known(obj, _RECORD_KEYS, "the record")
    schema = fields.required(obj, "schema")
    if isinstance(schema, bool) or schema != SCHEMA:
        raise DataError(f"schema must be {SCHEMA}, got {fields.shown(schema)}")
    turns = fields.items(fields.required(obj, "turns"), "turns")
    return Record(
        id=fields.required(obj, "id"),
        images=tuple(fields.items(fields.required(obj, "images"), "images")),
        turns=tuple(_turn(turn, f"turns[{index}]") for index, turn in enumerate(turns)),
        dataset=fields.required(obj, "dataset"),
        mode=fields.required(obj, "mode"),
        licence=fields.required(obj, "licence"),
        source=fields.required(obj, "source"),
        split=obj.get("split"),
    )


def _turn(value: object, name: str) -> Turn:
    obj = fields.mapping(value, name)
    fields.only_known(obj, _TURN_KEYS, name)
    try:
        boxes = fields.items(obj.get("boxes_px_xyxy", []), "boxes_px_xyxy")
        return Turn(
            question=fields.required(obj, "question"),
            answers=tuple(fields.items(fields.required(obj, "answers"), "answers")),
            boxes_px_xyxy=tuple(box_of(box, f"boxes_px_xyxy[{i}]") for i, box in enumerate(boxes)),
        )
    except DataError as error:
        raise DataError(f"{name}.{error}") from None


def box_of(value: object, name: str) -> PixelBox:
    """A box from a JSON list of four numbers; its order is checked by `Turn`."""
    edges = fields.items(value, name)
    if len(edges) != 4:
        raise DataError(f"{name} must have 4 numbers (x1, y1, x2, y2), got {len(edges)}")
    x1, y1, x2, y2 = (fields.number(edge, name) for edge in edges)
    return x1, y1, x2, y2


def _check_box(box: PixelBox, name: str) -> None:
    x1, y1, x2, y2 = box_of(list(box), name)
    if x1 >= x2 or y1 >= y2:
        raise DataError(f"{name} must have x1 < x2 and y1 < y2, got {fields.shown(list(box))}")
