"""The pickles hosted for Q-Zoom, turned into JSONL and safetensors.

Stage 1 is a list of dicts with two attention maps each; stage 3 is a dict of dicts with a model's
answer at each of several resolutions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from qzoom.data import fields
from qzoom.data.files import new_folder
from qzoom.data.jsonl import write_objects
from qzoom.data.label_shards import Map, ShardWriter
from qzoom.data.pickles import DEFAULT_LIMITS, PickleLimits, read_pickle
from qzoom.data.readers.rows import answers_of, name_of
from qzoom.errors import DataError

TRAJECTORIES_FILE: Final = "trajectories.jsonl"

# What the hosted files call the maps, and what label shards call them.
_MAPS: Final = {"attention": "grounding_attn_o2i", "sink": "sink_attn"}
_LAYOUTS: Final = {"maps": tuple(_MAPS.values()), "trajectories": ("res", "ms_answers")}
_SHOWN: Final = 5


@dataclass
class Unpickled:
    """What a conversion wrote and left out; `kind` is "maps" or "trajectories"."""

    kind: str
    rows: int = 0
    bad_rows: int = 0
    first_bad_rows: list[str] = field(default_factory=list)


def convert_pickle(
    path: Path, out: Path, *, max_bad: int = 0, limits: PickleLimits = DEFAULT_LIMITS
) -> Unpickled:
    """Convert a hosted pickle into a new folder, which appears only when all is written.

    Args:
        max_bad: rows that may be left out because something is wrong with them.

    Raises:
        DataError: when the file is no plain pickle, has neither layout, or too many rows are bad.
    """
    value = read_pickle(path, limits)
    rows = dict(enumerate(value)) if isinstance(value, list) else value
    kind = _kind(rows)
    if kind is None:
        raise DataError(f"{path} holds {fields.shown(value)}, no labels of stage 1 or stage 3")
    report = Unpickled(kind)
    with new_folder(out) as folder:
        if kind == "maps":
            writer = ShardWriter(folder)
            for found in _each(rows, _map_row, report, path, max_bad):
                writer.add(*found)
            writer.flush()
        else:
            found = _each(rows, _trajectory, report, path, max_bad)
            write_objects(folder / TRAJECTORIES_FILE, found)
    return report


def _kind(rows: object) -> str | None:
    """The layout of the first row."""
    first = next(iter(rows.values()), None) if isinstance(rows, dict) else None
    for kind, keys in _LAYOUTS.items():
        if isinstance(first, dict) and all(key in first for key in keys):
            return kind
    return None


def _each(
    rows: dict[Any, Any],
    build: Callable[[dict[str, Any], object], Any],
    report: Unpickled,
    path: Path,
    max_bad: int,
) -> Iterator[Any]:
    for key, row in rows.items():
        try:
            built = build(fields.mapping(row, "the row"), key)
        except DataError as error:
            report.bad_rows += 1
            text = f"{path}[{fields.shown(key)}]: {error}"
            if report.bad_rows > max_bad:
                hint = f"bad row {report.bad_rows} where {max_bad} are allowed; see --max-bad"
                raise DataError(f"{text}; {hint}") from None
            if report.bad_rows <= _SHOWN:
                report.first_bad_rows.append(text)
            continue
        report.rows += 1
        yield built


def _map_row(row: dict[str, Any], key: object) -> tuple[dict[str, Any], dict[str, Map]]:
    maps = {name: _map(row, hosted) for name, hosted in _MAPS.items()}
    if maps["attention"].shape != maps["sink"].shape:
        shapes = " and ".join(str(values.shape) for values in maps.values())
        raise DataError(f"the two maps have shapes {shapes}")
    written = {
        "id": name_of(_first(row, ("uid", "question_id"), key), "uid"),
        "image": fields.text(fields.required(row, "image"), "image"),
        "question": fields.text(fields.required(row, "prompt"), "prompt"),
        "response": _plain_text(fields.required(row, "text"), "text"),
        "grid_hw": list(maps["attention"].shape),
    }
    # Rows of older files do not say; the owner of the file knows.
    known = {"kind": row.get("mode"), "dataset": row.get("dataset")}
    written |= {name: fields.text(value, name) for name, value in known.items() if value}
    return written, maps


def _map(row: dict[str, Any], name: str) -> Map:
    values = row.get(name)
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind != "f":
        raise DataError(f"{name} must be a 2-D array of floats, got {fields.shown(values)}")
    if values.size == 0 or not np.isfinite(values).all():
        raise DataError(f"{name} of shape {values.shape} is empty or not finite")
    return values.astype(np.float32)


def _trajectory(row: dict[str, Any], key: object) -> dict[str, Any]:
    cells = _listed(fields.required(row, "res"), "res")
    responses = _listed(fields.required(row, "ms_answers"), "ms_answers")
    if not cells or len(cells) != len(responses):
        raise DataError(f"res has {len(cells)} values and ms_answers has {len(responses)}")
    return {
        "id": name_of(_first(row, ("id",), key), "id"),
        "image": fields.text(fields.required(row, "image"), "image"),
        "question": fields.text(fields.required(row, "prompt"), "prompt"),
        "answers": list(answers_of(fields.required(row, "text"), "text")),
        "cells": [_whole(value, f"res[{index}]") for index, value in enumerate(cells)],
        "responses": [_plain_text(text, f"ms_answers[{i}]") for i, text in enumerate(responses)],
    }


def _listed(value: object, name: str) -> list[Any]:
    """A list, also of a tuple or an array."""
    if isinstance(value, tuple):
        return list(value)
    return fields.items(value.tolist() if isinstance(value, np.ndarray) else value, name)


def _first(row: dict[str, Any], names: tuple[str, ...], other: object) -> Any:
    """The first of some values that says something, or else another one."""
    return next((row[name] for name in names if row.get(name) not in (None, "")), other)


def _plain_text(value: object, name: str) -> str:
    """Text that may be empty: a model may have had nothing to say."""
    return value if value == "" and isinstance(value, str) else fields.text(value, name)


def _whole(value: object, name: str) -> int:
    if isinstance(value, int | np.integer) and not isinstance(value, bool) and value > 0:
        return int(value)
    raise DataError(f"{name} must be a whole number of cells, got {fields.shown(value)}")
