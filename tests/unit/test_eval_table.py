"""Tables of methods and benchmarks by hand-computed values, and names that are code elsewhere."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from tests.unit.result_rows import fake_benchmark, make_row, write_rows

from qzoom.cli import main
from qzoom.errors import DataError
from qzoom.eval import rescore
from qzoom.eval.benchmarks.base import Benchmark, Scored
from qzoom.eval.rows import read_results
from qzoom.eval.table import Table, build_table
from qzoom.eval.table_text import WIDTH, render

HOSTILE = r"$\input{/etc/passwd}$ 50% & |a_b| ^~#<script>*x*"
ZOOM = {"method": "zoom", "zoomed": True, "roi_tokens": 100, "seconds": {"total": 4.0}}


def rows_of(method: dict[str, object], scores: dict[str, float], benchmark: str = "fake") -> list:
    return [make_row(id, score, benchmark=benchmark, **method) for id, score in scores.items()]


def small_table() -> Table:
    rows = rows_of({}, {"a1": 1.0, "b1": 0.0}) + rows_of({}, {"a1": 1.0}, "other")
    rows += rows_of(ZOOM, {"a1": 1.0, "b1": 1.0}) + rows_of(ZOOM, {"a1": 0.5}, "other")
    return build_table(rows, fake_benchmark)


def test_scores_averages_and_costs_by_hand() -> None:
    table = small_table()
    direct, zoom = table.lines
    assert (direct.label, zoom.label) == ("direct 64", "zoom 64")
    assert [direct.cells[key].score for key in ("fake", "other")] == [0.5, 1.0]
    assert (direct.average, zoom.average) == (0.75, 0.75)
    assert (direct.visual_tokens, zoom.visual_tokens) == (100, 200)
    assert (direct.zoomed, zoom.zoomed) == (0.0, 1.0)
    assert (direct.throughput, zoom.throughput) == (1.0, 0.5)
    assert not table.notes


def test_markdown_marks_the_best_of_each_column() -> None:
    lines = render(small_table(), "markdown").splitlines()
    assert lines[0].startswith("| Method | fake questions | other questions | Average |")
    assert lines[2] == "| direct 64 | 50.0 | **100.0** | **75.0** | 100 | 0.00 | 1.00x |"
    assert lines[3] == "| zoom 64 | **100.0** | 50.0 | **75.0** | 200 | 1.00 | 0.50x |"


def test_other_samples_machines_and_points_are_noted() -> None:
    def benchmark_of(name: str) -> Benchmark:
        def summed(scored: list[Scored], _: object) -> dict[str, float]:
            return {"points": 1000.0 + len(scored)}

        fake = fake_benchmark(name)
        if name == "fake":
            return fake
        return dataclasses.replace(fake, summarize=summed, points=frozenset({"lmms-eval"}))

    elsewhere = {"run": {**make_row("a1", 1.0).run, "hardware": "slide rule"}}
    rows = rows_of({}, {"a1": 1.0, "b1": 0.0}) + rows_of({}, {"a1": 1.0}, "other")
    rows += rows_of(ZOOM | elsewhere, {"a1": 1.0})
    table = build_table(rows, benchmark_of)
    assert table.points == {"other"}
    assert table.lines[0].average == 0.5  # points are no share
    assert table.lines[1].throughput == 0.5  # on the sample that both answered
    assert [note.split(":")[0] for note in table.notes] == [
        "fake questions is not over the same samples",
        "other questions",
        "times are of different machines",
    ]
    assert "1001.0" in render(table, "terminal")


def test_a_single_point_is_no_share() -> None:
    fake = dataclasses.replace(fake_benchmark(), points=frozenset({"lmms-eval"}))
    table = build_table([make_row("a1", 1.0)], lambda name: fake)
    assert table.points == {"fake"}
    assert " 1.0 " in render(table, "terminal")


def test_lines_are_told_apart_by_what_differs() -> None:
    rows = []
    for threshold in (0.1, 0.25):
        settings = {"model": "toy", "max_cells": 64, "gate_threshold": threshold}
        rows += [make_row("a1", 1.0, method="zoom", settings=settings)]
    labels = [line.label for line in build_table(rows, fake_benchmark).lines]
    assert labels == ["zoom 64, gate_threshold 0.1", "zoom 64, gate_threshold 0.25"]
    other = make_row("a1", 1.0, settings={"model": "big", "max_cells": 128})
    labels = [line.label for line in build_table([rows[0], other], fake_benchmark).lines]
    assert labels == ["toy: zoom 64", "big: direct 128"]


def test_rows_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(DataError, match="a1 of fake is there twice"):
        build_table([make_row("a1", 1.0)] * 2, fake_benchmark)
    with pytest.raises(DataError, match="scored as lmms-eval and strict"):
        build_table([make_row("a1", 1.0), make_row("b1", 1.0, scoring="strict")], fake_benchmark)
    with pytest.raises(DataError, match="no row"):
        build_table([], fake_benchmark)


def test_names_cannot_be_code_in_latex_or_markdown() -> None:
    table = build_table(
        [make_row("a1", 1.0, method=HOSTILE), make_row("a1", 0.0, method="plain\x1b[2J\nname")],
        lambda name: dataclasses.replace(fake_benchmark(name), title="50% & more"),
    )
    latex = render(table, "latex")
    assert r"\$\textbackslash{}input\{/etc/passwd\}\$ 50\% \& |a\_b| " in latex
    assert r"\textasciicircum{}\textasciitilde{}\#\textless{}script\textgreater{}*x*" in latex
    assert r"Method & 50\% \& more &" in latex
    assert r"\textbf{100.0}" in latex
    assert "\x1b" not in latex
    body = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert all(line.replace(r"\&", "").count("&") == 4 for line in body)
    markdown = render(table, "markdown")
    assert r"\|a\_b\| ^~#\<script\>\*x\*" in markdown
    assert "plain[2J name" in render(table, "terminal")


def test_a_terminal_table_never_passes_its_width() -> None:
    rows = []
    for number in range(12):
        name = f"a rather long benchmark {number}"
        rows += [make_row("a1", 1.0, benchmark=name), make_row("b1", 0.0, benchmark=name)]
        rows += [make_row("a1", 1.0, benchmark=name, method="a method with a name " * 4)]
    text = render(build_table(rows, fake_benchmark), "terminal", intervals=True)
    table = [line for line in text.splitlines() if not line.startswith("note:")]
    assert max(map(len, table)) <= WIDTH
    assert text.count("direct 64") - text.count("note") > 3  # repeated before each block
    assert "50.0 (0.0 to 100.0)" in text


def test_categories_are_columns_on_request() -> None:
    rows = [
        make_row(id, score, gold={"question": "?", "answers": [], "category": category})
        for id, score, category in (("a1", 1.0, "near"), ("b1", 0.0, "far"), ("c1", 1.0, "far"))
    ]
    table = build_table(rows, fake_benchmark, "category")
    assert table.columns == {"fake/near": "near", "fake/far": "far"}
    assert table.lines[0].cells["fake/far"].score == 0.5


def test_stored_predictions_are_scored_again(tmp_path: Path) -> None:
    rows = [make_row("a1", 1.0, prediction="YES"), make_row("b1", 1.0)]
    strict = [rescore.rescored(row, fake_benchmark(), "strict") for row in rows]
    assert [(row.score, row.scoring, row.prompted_as) for row in strict] == [
        (0.0, "strict", "lmms-eval"),
        (1.0, "strict", "lmms-eval"),
    ]
    assert rescore.rescored(strict[0], fake_benchmark(), "lmms-eval") == rows[0]
    source = write_rows(tmp_path / "rows.jsonl", rows)
    rescore.save_rescored(strict, source, tmp_path / "strict.jsonl")
    assert list(read_results(tmp_path / "strict.jsonl")) == strict
    with pytest.raises(DataError, match="exists"):
        rescore.save_rescored(strict, source, source)


def test_the_commands_read_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gold = {"question": "?", "answers": ["yes"], "category": "word", "extra": {"small": True}}
    row = make_row("a1", 0.0, benchmark="synth", prediction="yes ", gold=gold)
    path = write_rows(tmp_path / "rows.jsonl", [row])
    assert main(["eval", "table", str(path), "--format", "markdown", "--intervals"]) == 0
    assert "| direct 64 | 0.0 (0.0 to 0.0) | 100 |" in capsys.readouterr().out
    out = tmp_path / "strict.jsonl"
    assert main(["eval", "score", str(path), "--scoring", "strict", "--out", str(out)]) == 0
    assert "the score of 1 changes" in capsys.readouterr().out
    assert [row.score for row in read_results(out)] == [1.0]
