"""Rows answered again: what reproduces, what does not, and what cannot be rebuilt."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from tests.unit.result_rows import write_rows

from qzoom.cli import main
from qzoom.eval.benchmarks.synth import synth_benchmark
from qzoom.eval.rescore import rescored, save_rescored
from qzoom.eval.rows import ResultRow, read_results


@pytest.fixture(scope="module")
def rows_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four answers of the embedded model under settings that are not its own."""
    folder = tmp_path_factory.mktemp("rerun") / "rows"
    command = ["eval", "pareto", "--scenes", "2", "--seeds", "rerun", "--methods", "zoom"]
    command += ["--budgets", "32", "--gate-threshold", "0.0001", "--limit", "4"]
    assert main([*command, "--out", str(folder)]) == 0
    return folder / "rows" / "zoom-32.jsonl"


@pytest.fixture
def rows(rows_file: Path) -> list[ResultRow]:
    """The answers."""
    return list(read_results(rows_file))


def test_rows_say_what_they_were_made_of(rows: list[ResultRow]) -> None:
    assert rows[0].benchmark_settings["seeds"] == "rerun"
    assert rows[0].settings["gate_threshold"] == 0.0001
    assert len(rows[0].run["weights"]) == 16
    assert any(row.zoomed for row in rows)


def test_every_row_reproduces(rows_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "rerun", str(rows_file), "--all"]) == 0
    assert capsys.readouterr().out.endswith("4 of 4 rows reproduce\n")


def test_a_row_scored_again_reproduces_under_its_own_prompt(
    rows: list[ResultRow], rows_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "strict.jsonl"
    benchmark = synth_benchmark()
    save_rescored([rescored(row, benchmark, "strict") for row in rows], rows_file, out)
    assert main(["eval", "rerun", str(out), "--sample", rows[1].sample]) == 0
    assert "1 of 1 rows reproduce" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prediction", "something else"),
        ("gate_probability", 0.123456),
        ("boxes_px_xyxy", [[0, 0, 1, 1]]),
        ("roi_tokens", 999),
        ("extra_new_tokens", 7),
        ("images_sha256", ["0" * 64]),
        ("prompt_sha256", "0" * 64),
        ("score", 0.25),
    ],
)
def test_a_row_that_was_tampered_with_does_not(
    rows: list[ResultRow],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    field: str,
    value: object,
) -> None:
    changed = dataclasses.replace(rows[0], **{field: value})
    path = write_rows(tmp_path / "rows.jsonl", [changed])
    assert main(["eval", "rerun", str(path), "--sample", changed.sample, "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert found["same"] is False
    assert [check["field"] for check in found["checks"] if not check["same"]] == [field]


def test_a_gate_is_compared_with_a_tolerance(
    rows: list[ResultRow], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = rows[0].gate_probability
    assert said is not None
    near = dataclasses.replace(rows[0], gate_probability=said + 5e-7)
    path = write_rows(tmp_path / "rows.jsonl", [near])
    assert main(["eval", "rerun", str(path), "--all"]) == 0
    far = dataclasses.replace(rows[0], gate_probability=said + 2e-6)
    path = write_rows(tmp_path / "rows.jsonl", [far])
    capsys.readouterr()
    assert main(["eval", "rerun", str(path), "--all"]) == 1
    text = capsys.readouterr().out
    assert "DIFFERS" in text
    assert "! gate_probability" in text
    assert "prediction" not in text  # only what differs


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"run": {"weights": "0" * 16}}, "the row was made with 0000000000000000; name the right"),
        ({"settings": {"temperature": 2}}, "temperature"),
        ({"sample": "rerun-heldout-99-0"}, "has no sample 'rerun-heldout-99-0'"),
        ({"method": "hunch"}, "no method is called 'hunch'"),
        ({"benchmark_settings": {"moons": 2}}, "synth has no such settings"),
    ],
)
def test_what_cannot_be_done_again_is_one_line(
    rows: list[ResultRow],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, object],
    said: str,
) -> None:
    merged = {
        name: {**getattr(rows[0], name), **value} if isinstance(value, dict) else value
        for name, value in changes.items()
    }
    path = write_rows(tmp_path / "rows.jsonl", [dataclasses.replace(rows[0], **merged)])
    assert main(["eval", "rerun", str(path), "--all"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_sample_that_has_no_row_is_named(
    rows_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", "rerun", str(rows_file), "--sample", "nowhere"]) == 2
    assert "no row of sample 'nowhere'" in capsys.readouterr().err
