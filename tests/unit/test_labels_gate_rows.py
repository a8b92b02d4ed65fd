"""Rows of `gate.jsonl`: written and read back equal, drawn like samples, refused by line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qzoom.errors import DataError
from qzoom.labels.consistency import TrajectoryVerdict
from qzoom.labels.gate_rows import ConsistencyRow, CropFixRow, GateRow, NaiveRow, read_gate_rows
from qzoom.labels.gate_samples import GateDraw, draw_sample
from qzoom.labels.tristate import IGNORE

NAMED = ("q", "a/b.png", "what is it?")
CELLS = (16, 36, 64, 100, 144)
ROWS: list[GateRow] = [
    ConsistencyRow("hard", *NAMED[1:], CELLS, 3),
    ConsistencyRow("easy", *NAMED[1:], CELLS, 0),
    CropFixRow("fix", *NAMED[1:], (16, 64), 1),
    NaiveRow("naive", *NAMED[1:], CELLS[:3], (1, 0, 1)),
]


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rows_come_back_equal(tmp_path: Path) -> None:
    path = write(tmp_path / "gate.jsonl", *(row.to_json() for row in ROWS))
    assert list(read_gate_rows(path)) == ROWS
    assert [row.outcome for row in ROWS] == ["hard", "easy", "hard", None]
    assert ROWS[0].to_json() == {
        "schema": 1, "kind": "consistency", "id": "hard", "image": "a/b.png",
        "question": "what is it?", "cells": list(CELLS), "outcome": "hard", "wrong": 3,
    }  # fmt: skip


def test_a_row_is_drawn_as_its_trajectory_was() -> None:
    row, draw = ConsistencyRow(*NAMED, CELLS, 3), GateDraw(seed=4)
    looks = [row.look(epoch, draw) for epoch in range(60)]
    for epoch, (budget, label) in enumerate(looks):
        sample = draw_sample(row, TrajectoryVerdict("hard", wrong=3), epoch, draw)
        assert (budget, label) == ((sample.cells, sample.cells), sample.label)
    assert set(looks) == {((36, 36), 1), ((64, 64), 1), ((64, 64), IGNORE)}
    naive = NaiveRow(*NAMED, CELLS[:3], (1, 0, 1))
    drawn = {naive.look(epoch, draw) for epoch in range(60)}
    assert drawn == {((16, 16), 1), ((36, 36), 0), ((64, 64), 1)}
    fixed = CropFixRow(*NAMED, (16, 64), 0)
    assert {fixed.look(epoch, draw) for epoch in range(9)} == {((16, 64), 0)}


@pytest.mark.parametrize(
    ("place", "changes", "message"),
    [
        (0, {"schema": 2}, "schema must be 1, got 2"),
        (0, {"kind": "magic"}, "kind is 'magic'; known: consistency, crop-fix, naive"),
        (0, {"id": ""}, "id is empty"),
        (0, {"question": None}, "question must be text"),
        (0, {"image": "../x.png"}, "image must have no empty, '.' or '..' part"),
        (0, {"cells": [16, 64, 36, 100, 144]}, r"cells \[16, 64, 36, 100, 144\] must rise"),
        (0, {"cells": [16, "36", 64]}, "cells must be a whole number of at least 1, got '36'"),
        (0, {"cells": 16}, "cells must be a list"),
        (0, {"wrong": 4}, "wrong is 4 of 5 cells; the 2 highest must be right"),
        (0, {"wrong": -1}, "wrong must be a whole number of at least 0"),
        (0, {"outcome": "easy"}, "outcome is 'easy', but the answers say 'hard'"),
        (0, {"lable": 1}, "the row has an unknown key 'lable'"),
        (2, {"label": 2}, "label must be 0 or 1, got 2"),
        (2, {"label": True}, "label must be 0 or 1, got True"),
        (2, {"budget_cells": [64, 16]}, r"budget_cells is \[64, 16\]; give the least, the most"),
        (2, {"budget_cells": [64]}, r"budget_cells is \[64\]; give the least, the most"),
        (3, {"labels": [1, 0]}, "2 labels for 3 cells; give as many"),
    ],
)
def test_bad_rows_are_named_by_file_and_line(
    tmp_path: Path, place: int, changes: dict[str, Any], message: str
) -> None:
    good = ROWS[place].to_json()
    path = write(tmp_path / "gate.jsonl", ROWS[1].to_json(), good | changes | {"id": "x"} | changes)
    with pytest.raises(DataError, match=rf"gate\.jsonl:2: .*{message}"):
        list(read_gate_rows(path))


def test_missing_keys_repeats_and_files(tmp_path: Path) -> None:
    row = ROWS[2].to_json()
    path = write(tmp_path / "gate.jsonl", {k: v for k, v in row.items() if k != "label"})
    with pytest.raises(DataError, match=r"gate\.jsonl:1: 'label' is missing"):
        list(read_gate_rows(path))
    with pytest.raises(DataError, match=r":2: id 'fix' comes twice"):
        list(read_gate_rows(write(path, row, row)))
    path.write_text("[1]\n")
    with pytest.raises(DataError, match=r"gate\.jsonl:1: .*must be a JSON object"):
        list(read_gate_rows(path))
    with pytest.raises(DataError, match="cannot be read"):
        list(read_gate_rows(tmp_path / "gone.jsonl"))
