"""What `gate.jsonl` holds: one question a line, with what decides how it is shown and labelled.

Answers are not needed any more: a row of rising resolutions keeps the verdict, so that training
draws another resolution each epoch; a row about a crop keeps its budget and its label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final

from qzoom.data import fields
from qzoom.data.jsonl import scan_objects
from qzoom.data.paths import relative_path
from qzoom.errors import DataError
from qzoom.labels.consistency import TOP, Outcome, TrajectoryVerdict
from qzoom.labels.gate_samples import GateDraw, draw_naive, draw_sample

SCHEMA: Final = 1

Budget = tuple[int, int]
"""Least and most cells of a picture."""


@dataclass(frozen=True)
class GateRow:
    """A question; image: path of its picture below the image root."""

    id: str
    image: str
    question: str

    kind: ClassVar[str]

    def __post_init__(self) -> None:
        fields.text(self.id, "id")
        fields.text(self.question, "question")
        relative_path(self.image, "image")

    @property
    def outcome(self) -> Outcome | None:
        """For the balance of easy and hard questions; None takes no part in it."""
        raise NotImplementedError

    def look(self, epoch: int, draw: GateDraw) -> tuple[Budget, int]:
        """Budget and label of an epoch."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """The line; `gate_row_from_json` gives back an equal row."""
        common = {"id": self.id, "image": self.image, "question": self.question}
        return {"schema": SCHEMA, "kind": self.kind, **common, **self.own_json()}

    def own_json(self) -> dict[str, Any]:
        """The keys that only this kind has."""
        raise NotImplementedError


@dataclass(frozen=True)
class ConsistencyRow(GateRow):
    """Answered at rising resolutions: wrong at the `wrong` lowest of `cells`, right above."""

    cells: tuple[int, ...]
    wrong: int

    kind = "consistency"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_rising(self.cells)
        fields.whole_number(self.wrong, "wrong")
        most = len(self.cells) - TOP
        if most < 1 or self.wrong > most:
            raise DataError(
                f"wrong is {self.wrong} of {len(self.cells)} cells; the {TOP} highest must be "
                "right, and one more is needed"
            )

    @property
    def outcome(self) -> Outcome:
        """Hard where any resolution was wrong."""
        return "hard" if self.wrong else "easy"

    def look(self, epoch: int, draw: GateDraw) -> tuple[Budget, int]:
        """A resolution drawn for this epoch; the picture gets exactly that many cells."""
        verdict = TrajectoryVerdict(self.outcome, wrong=self.wrong)
        sample = draw_sample(self, verdict, epoch, draw)
        return (sample.cells, sample.cells), sample.label

    def own_json(self) -> dict[str, Any]:
        """Resolutions and verdict."""
        return {"cells": list(self.cells), "outcome": self.outcome, "wrong": self.wrong}


@dataclass(frozen=True)
class CropFixRow(GateRow):
    """Answered directly and zoomed under one budget; label: 1 where the crop mended it, else 0."""

    budget_cells: Budget
    label: int

    kind = "crop-fix"

    def __post_init__(self) -> None:
        super().__post_init__()
        for value in self.budget_cells:
            fields.whole_number(value, "budget_cells", 1)
        if len(self.budget_cells) != 2 or self.budget_cells[0] > self.budget_cells[1]:
            raise DataError(f"budget_cells is {list(self.budget_cells)}; give the least, the most")
        _check_label(self.label, "label")

    @property
    def outcome(self) -> Outcome:
        """Hard where the crop mended the answer."""
        return "hard" if self.label else "easy"

    def look(self, epoch: int, draw: GateDraw) -> tuple[Budget, int]:
        """The same each epoch."""
        return self.budget_cells, self.label

    def own_json(self) -> dict[str, Any]:
        """Budget and label."""
        return {"budget_cells": list(self.budget_cells), "label": self.label}


@dataclass(frozen=True)
class NaiveRow(GateRow):
    """Answered at rising resolutions; labels: for each of `cells`, 1 where the answer was wrong."""

    cells: tuple[int, ...]
    labels: tuple[int, ...]

    kind = "naive"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_rising(self.cells)
        for label in self.labels:
            _check_label(label, "labels")
        if not self.cells or len(self.labels) != len(self.cells):
            raise DataError(f"{len(self.labels)} labels for {len(self.cells)} cells; give as many")

    @property
    def outcome(self) -> None:
        """The ablation filters and balances nothing."""
        return None

    def look(self, epoch: int, draw: GateDraw) -> tuple[Budget, int]:
        """A resolution drawn for this epoch; the picture gets exactly that many cells."""
        sample = draw_naive(self, self.labels, epoch, draw)
        return (sample.cells, sample.cells), sample.label

    def own_json(self) -> dict[str, Any]:
        """Resolutions and their labels."""
        return {"cells": list(self.cells), "labels": list(self.labels)}


_COMMON: Final = ("id", "image", "question")
_LISTS: Final = ("cells", "labels", "budget_cells")
_KINDS: Final[Mapping[str, tuple[Callable[..., GateRow], tuple[str, ...]]]] = MappingProxyType(
    {
        ConsistencyRow.kind: (ConsistencyRow, ("cells", "outcome", "wrong")),
        CropFixRow.kind: (CropFixRow, ("budget_cells", "label")),
        NaiveRow.kind: (NaiveRow, ("cells", "labels")),
    }
)


def gate_row_from_json(obj: object, where: str) -> GateRow:
    """The row of a JSON object.

    Args:
        where: Names the object in errors, such as "gate.jsonl:12".

    Raises:
        DataError: When a key is missing or unknown, or a value does not fit.
    """
    try:
        return _row(fields.mapping(obj, "a row"))
    except DataError as error:
        raise DataError(f"{where}: {error}") from None


def read_gate_rows(path: Path) -> Iterator[GateRow]:
    """The rows of a file, one at a time.

    Raises:
        DataError: At the first bad row or repeated id, named by file and line.
    """
    seen: set[str] = set()
    for line, value in scan_objects(path):
        if isinstance(value, DataError):
            raise value
        row = gate_row_from_json(value, f"{path}:{line}")
        if row.id in seen:
            raise DataError(f"{path}:{line}: id {fields.shown(row.id)} comes twice; delete one")
        seen.add(row.id)
        yield row


def _row(obj: dict[str, Any]) -> GateRow:
    schema = fields.required(obj, "schema")
    if isinstance(schema, bool) or schema != SCHEMA:
        raise DataError(f"schema must be {SCHEMA}, got {fields.shown(schema)}")
    kind = fields.required(obj, "kind")
    if kind not in _KINDS:
        raise DataError(f"kind is {fields.shown(kind)}; known: {', '.join(_KINDS)}")
    made, own = _KINDS[kind]
    names = (*_COMMON, *own)
    fields.only_known(obj, ("schema", "kind", *names), "the row")
    values = {name: fields.required(obj, name) for name in names}
    lists = {name: tuple(fields.items(values[name], name)) for name in _LISTS if name in values}
    outcome = values.pop("outcome", None)
    row: GateRow = made(**values | lists)
    if outcome not in (None, row.outcome):
        raise DataError(f"outcome is {fields.shown(outcome)}, but the answers say {row.outcome!r}")
    return row


def _check_rising(cells: tuple[int, ...]) -> None:
    for value in cells:
        fields.whole_number(value, "cells", 1)
    if list(cells) != sorted(set(cells)):
        raise DataError(f"cells {list(cells)} must rise")


def _check_label(label: int, name: str) -> None:
    if isinstance(label, bool) or not isinstance(label, int) or label not in (0, 1):
        raise DataError(f"{name} must be 0 or 1, got {fields.shown(label)}")
