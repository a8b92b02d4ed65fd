"""Answers on disk: one JSON line each, found again by the id of their question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qzoom.data.files import Closing
from qzoom.errors import LabelError
from qzoom.labels.jsonl import read_row_at, read_rows


@dataclass(frozen=True)
class AnswerRow:
    """One answer.

    id, question: of the record; image: path of its first image; cells:
    of the source images as looked at; text: the answer; zoomed: whether a crop was looked at;
    gate_probability: None when no gate was asked; box_px_xyxy: first crop in source pixels, x2 and
    y2 exclusive, or None; model: name of what answered.
    """

    id: str
    question: str
    image: str
    cells: int
    text: str
    zoomed: bool
    gate_probability: float | None
    box_px_xyxy: tuple[int, int, int, int] | None
    model: str

    def to_json(self) -> dict[str, Any]:
        """Fields by name."""
        return asdict(self)


_KINDS: Mapping[str, tuple[type, ...]] = {
    "id": (str,),
    "question": (str,),
    "image": (str,),
    "cells": (int,),
    "text": (str,),
    "zoomed": (bool,),
    "gate_probability": (float, int, type(None)),
    "box_px_xyxy": (list, type(None)),
    "model": (str,),
}


def read_answer(row: Mapping[str, Any], path: Path) -> AnswerRow:
    """An answer from its JSON.

    Raises:
        LabelError: If a field is missing or of another type.
    """
    for name, kinds in _KINDS.items():
        if name not in row or not isinstance(row[name], kinds):
            found = f"{name}={row[name]!r}" if name in row else f"no {name}"
            raise LabelError(f"{path} holds a row with {found}; is it a file of answers?")
    fields = {name: row[name] for name in _KINDS}
    box = row["box_px_xyxy"]
    if box is not None:
        if len(box) != 4 or not all(isinstance(side, int) for side in box):
            raise LabelError(f"{path} holds a row with box_px_xyxy={box!r}; give 4 numbers")
        fields["box_px_xyxy"] = tuple(box)
    return AnswerRow(**fields)


def read_answers(path: Path) -> Iterator[AnswerRow]:
    """All answers of a file, one at a time."""
    for _, row in read_rows(path):
        yield read_answer(row, path)


class AnswerIndex(Closing):
    """Answers of a file by id; only ids and places are in memory."""

    def __init__(self, path: Path) -> None:
        """Read through the file once.

        Raises:
            LabelError: If it is missing or damaged, or an id comes twice.
        """
        self.path = path
        self._offset_of: dict[str, int] = {}
        for offset, row in read_rows(path):
            name = read_answer(row, path).id
            if name in self._offset_of:
                raise LabelError(f"{path} answers question {name!r} twice; delete one line")
            self._offset_of[name] = offset
        self._file = path.open("rb")

    def __contains__(self, name: str) -> bool:
        return name in self._offset_of

    def __len__(self) -> int:
        return len(self._offset_of)

    def __getitem__(self, name: str) -> AnswerRow:
        return read_answer(read_row_at(self._file, self._offset_of[name], self.path), self.path)

    def answer_to(self, name: str, question: str) -> AnswerRow:
        """The answer under an id, which must be to that question.

        Raises:
            LabelError: When it is to another one: ids of other records may be equal.
        """
        row = self[name]
        if row.question != question:
            raise LabelError(
                f"{self.path} answers another question under the id {name!r}; is it of other "
                "records? give another file"
            )
        return row

    def close(self) -> None:
        """Close the file."""
        self._file.close()
