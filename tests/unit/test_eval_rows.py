"""Result rows from files: what is no such row is refused in one line, before anything is summed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.result_rows import make_row

from qzoom.cli import main
from qzoom.errors import DataError
from qzoom.eval.rows import read_results


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seconds": {}}, "seconds.total must be a finite number"),
        ({"seconds": {"total": -1.0}}, "seconds.total is -1.0; it must be at least 0"),
        ({"score": float("nan")}, "score must be a finite number, got nan"),
        ({"score": "1"}, "score must be a finite number"),
        ({"gate_probability": []}, "gate_probability must be a finite number"),
        ({"settings": []}, "settings must be a JSON object"),
        ({"run": None}, "run must be a JSON object"),
        ({"source_tokens": None}, "source_tokens must be a whole number"),
        ({"sample": ["a"]}, "sample must be text"),
        ({"zoomed": 1}, "zoomed must be true or false"),
        ({"boxes_px_xyxy": None}, "boxes_px_xyxy must be a list"),
        ({"invented": 1}, "unexpected keyword argument 'invented'"),
    ],
)
def test_a_damaged_row_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    message: str,
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(make_row("a1", 1.0).to_json() | changes) + "\n")
    with pytest.raises(DataError, match="is no result of 'qzoom eval run'") as raised:
        list(read_results(path))
    assert message in str(raised.value)
    assert main(["eval", "table", str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_cut_off_row_is_left_out(tmp_path: Path) -> None:
    whole = json.dumps(make_row("a1", 1.0).to_json()) + "\n"
    path = tmp_path / "rows.jsonl"
    path.write_text(whole + whole[: len(whole) // 2])
    assert [row.sample for row in read_results(path)] == ["a1"]
