"""Points, fronts and matched scores by hand; interleaved, resumable runs; the figure's files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from PIL import Image
from tests.unit.result_rows import RUN, FakeMethod, fake_benchmark, make_row, write_rows

from qzoom.cli import main
from qzoom.errors import ConfigError, DataError
from qzoom.eval.bootstrap import Estimate
from qzoom.eval.pareto.matched import at_peak, front, match
from qzoom.eval.pareto.paper import PUBLISHED
from qzoom.eval.pareto.points import Point, read_points
from qzoom.eval.pareto.report import write_report
from qzoom.eval.pareto.run import PointKey, run_points, stored_points
from qzoom.eval.rows import read_results
from qzoom.eval.runner import RunPlan


def point(method: str, cells: int, score: float, rate: float, tokens: float) -> Point:
    estimate = Estimate(score, score, score, 10, 5)
    return Point(PointKey(method, cells), estimate, tokens, tokens, 0.0, rate, 1 / rate, 0.0)


DIRECT = [
    point("direct", 64, 0.5, 8.0, 50),
    point("direct", 256, 0.7, 4.0, 200),
    point("direct", 1024, 0.9, 1.0, 800),
]


def test_a_matched_score_lies_on_the_logarithmic_line() -> None:
    # Halfway from 0.7 to 0.9: geometric means of 4 and 1, of 200 and 800.
    found = match(point("zoom", 64, 0.8, 6.0, 100), DIRECT)
    assert (found.reached, found.direct_cells) == (True, (256, 1024))
    assert found.direct_samples_per_s == pytest.approx(2.0)
    assert found.direct_visual_tokens == pytest.approx(400)
    assert found.direct_score == pytest.approx(0.8)
    assert found.speed_up == pytest.approx(3.0)
    assert found.fewer_tokens == pytest.approx(0.75)


def test_a_score_of_a_budget_matches_that_budget() -> None:
    found = match(point("zoom", 64, 0.7, 4.0, 100), DIRECT)
    assert found.speed_up == pytest.approx(1.0)
    assert found.fewer_tokens == pytest.approx(0.5)


def test_nothing_is_extrapolated() -> None:
    worse = match(point("zoom", 64, 0.4, 4.0, 100), DIRECT)
    assert (worse.reached, worse.direct_cells) == (True, (64, 64))
    assert worse.speed_up == pytest.approx(0.5)
    assert worse.fewer_tokens == pytest.approx(-1.0)
    better = match(point("zoom", 64, 0.95, 4.0, 100), DIRECT)
    assert (better.reached, better.direct_cells) == (False, (1024, 1024))
    assert better.speed_up == pytest.approx(4.0)
    assert better.direct_score == 0.9


def test_a_baseline_that_falls_is_matched_at_its_smallest_budget() -> None:
    falling = [DIRECT[0], DIRECT[2], point("direct", 2048, 0.8, 0.5, 1600)]
    assert match(point("zoom", 64, 0.85, 2.0, 100), falling).direct_cells == (64, 1024)


def test_the_papers_comparison_is_at_the_best_direct_score() -> None:
    good = [point("zoom", 64, 0.9, 3.0, 100), point("zoom", 128, 0.95, 2.0, 200)]
    found = at_peak(good, DIRECT)
    assert found is not None
    assert (found.max_cells, found.speed_up) == (64, pytest.approx(3.0))
    assert found.fewer_tokens == pytest.approx(1 - 100 / 800)
    assert at_peak([point("zoom", 64, 0.89, 3.0, 100)], DIRECT) is None


def test_a_front_holds_what_nothing_beats() -> None:
    points = [*DIRECT, point("direct", 512, 0.65, 2.0, 400), point("direct", 300, 0.7, 3.0, 300)]
    assert [each.key.max_cells for each in front(points, lambda p: p.samples_per_s)] == [
        64,
        256,
        1024,
    ]
    assert [each.key.max_cells for each in front(points, lambda p: -p.visual_tokens)] == [
        64,
        256,
        1024,
    ]


def methods(*cells: int) -> dict[PointKey, FakeMethod]:
    return {
        PointKey(name, each): FakeMethod(name, each)
        for name in ("direct", "zoom")
        for each in cells
    }


def test_points_take_turns_and_a_killed_run_goes_on(tmp_path: Path) -> None:
    found, order = methods(64), []
    for key, method in found.items():
        method.asked = _Spy(order, key.method)
    run_points(fake_benchmark(), Path(), found, tmp_path, RunPlan(limit=4), RUN, slice_size=2)
    warm = [("direct", "question 0"), ("zoom", "question 0")]
    first = [(name, f"question {n}") for name in ("direct", "zoom") for n in (0, 1)]
    second = [(name, f"question {n}") for name in ("zoom", "direct") for n in (2, 3)]
    assert order == warm + first + second
    # Two more samples for all points; one of them has lost its last row.
    file = PointKey("zoom", 64).rows_file(tmp_path)
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-1]))
    counts: list[int] = []
    order.clear()
    run_points(
        fake_benchmark(), Path(), found, tmp_path, RunPlan(), RUN, slice_size=2, after=counts.append
    )
    assert sorted(set(order)) == sorted(
        [(name, f"question {n}") for name in found_names(found) for n in (4, 5)]
        + [("zoom", "question 3")]
    )
    assert counts[-1] == 12
    for key in found:
        assert len({row.sample for row in read_results(key.rows_file(tmp_path))}) == 6


def found_names(found: dict[PointKey, FakeMethod]) -> list[str]:
    return [key.method for key in found]


class _Spy(list):  # type: ignore[type-arg]
    """Notes who is asked."""

    def __init__(self, order: list[tuple[str, str]], name: str) -> None:
        super().__init__()
        self.order, self.name = order, name

    def append(self, prompt: str) -> None:
        self.order.append((self.name, prompt))


def test_repeats_keep_the_median_and_refuse_an_open_picture(tmp_path: Path) -> None:
    found = methods(64)
    run_points(fake_benchmark(), Path(), found, tmp_path, RunPlan(repeats=3), RUN, slice_size=9)
    assert len(found[PointKey("zoom", 64)].asked) == 3 * 7  # six samples and the warm-up
    rows = list(read_results(PointKey("zoom", 64).rows_file(tmp_path)))
    assert rows[0].run["repeats"] == 3
    with pytest.raises(ConfigError, match="3 repeats"):
        RunPlan(repeats=3, reuse=True)
    with pytest.raises(ConfigError, match="reuse"):
        run_points(
            fake_benchmark(), Path(), found, tmp_path, RunPlan(reuse=True), RUN, slice_size=9
        )


def stored(
    folder: Path, method: str, cells: int, scores: dict[str, float | None], s: float
) -> None:
    settings = {"model": "toy", "max_cells": cells}
    rows = [
        make_row(
            id, score, benchmark="synth", method=method, settings=settings, source_tokens=cells,
            seconds={"decode": 0.1, "total": s},
        )
        for id, score in scores.items()
    ]  # fmt: skip
    write_rows(PointKey(method, cells).rows_file(folder), rows)


def test_points_are_over_the_samples_that_all_answered(tmp_path: Path) -> None:
    stored(tmp_path, "direct", 64, {"a1": 1.0, "b1": 0.0, "c1": 1.0}, 0.5)
    stored(tmp_path, "zoom", 64, {"a1": 1.0, "b1": 1.0, "c1": None, "d1": 1.0}, 0.25)
    found = read_points(tmp_path, stored_points(tmp_path))
    assert found.left_out == 2
    direct, zoom = found.points
    assert (direct.score.mean, direct.score.samples, direct.samples_per_s) == (0.5, 2, 2.0)
    assert (zoom.score.mean, zoom.samples_per_s) == (1.0, 4.0)
    stored(tmp_path, "always", 64, {"e1": 1.0}, 1.0)
    with pytest.raises(DataError, match=r"no sample in .* was scored at all 3 points"):
        read_points(tmp_path, stored_points(tmp_path))
    with pytest.raises(DataError, match="run 'qzoom eval pareto' first"):
        read_points(tmp_path / "nothing", [])


def test_a_report_is_a_table_a_list_and_a_figure(tmp_path: Path) -> None:
    answers = {"a1": 1.0, "b1": 0.0, "c1": 0.0, "d1": 0.0}
    stored(tmp_path, "direct", 64, answers, 0.125)
    stored(tmp_path, "direct", 256, answers | {"b1": 1.0, "c1": 1.0}, 0.5)
    stored(tmp_path, "zoom", 64, answers | {"b1": 1.0}, 0.125)
    stored(tmp_path, "zoom", 256, answers | {"b1": 1.0, "c1": 1.0, "d1": 1.0}, 1.0)
    stored(tmp_path, "rival", 64, answers, 2.0)
    write_report(tmp_path, stored_points(tmp_path), paper=True)
    with (tmp_path / "points.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["samples_per_s"] for line in lines] == ["8.0", "2.0", "0.5", "8.0", "1.0"]
    content = json.loads((tmp_path / "points.json").read_text())
    matched = {(each["method"], each["max_cells"]): each for each in content["matched"]}
    # A score of 0.5 lies halfway from 0.25 to 0.75: 8 and 2 per second have the mean 4.
    assert matched["zoom", 64]["speed_up"] == pytest.approx(2.0)
    assert matched["zoom", 64]["fewer_tokens"] == pytest.approx(0.5)
    assert matched["zoom", 256]["reached"] is False
    assert content["at_direct_peak"]["zoom"]["speed_up"] == pytest.approx(0.5)
    assert "rival" not in content["at_direct_peak"]
    width, height = Image.open(tmp_path / "pareto.png").size
    assert width > height > 900
    svg = (tmp_path / "pareto.svg").read_bytes()
    write_report(tmp_path, stored_points(tmp_path), paper=True)
    assert (tmp_path / "pareto.svg").read_bytes() == svg


def test_the_papers_ratios_are_those_it_publishes() -> None:
    assert [(each.speed_up, each.fewer_tokens) for each in PUBLISHED] == [
        (2.52, 0.53),
        (4.39, 0.732),
        (1.7, 0.531),
        (2.73, 0.729),
    ]


def test_the_command_runs_goes_on_and_draws_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "runs"
    command = ["eval", "pareto", "--scenes", "2", "--methods", "direct", "zoom"]
    command += ["--budgets", "64", "32", "--out", str(folder), "--limit", "4", "--slice", "3"]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert "direct 32" in text
    assert "times the throughput of direct at" in text
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["pareto.png", "pareto.svg", "points.csv", "points.json", "rows"]
    before = {path: path.read_bytes() for path in (folder / "rows").iterdir()}
    assert len(before) == 8  # rows and settings of four points
    assert main(command) == 0
    assert {path: path.read_bytes() for path in (folder / "rows").iterdir()} == before
    capsys.readouterr()

    def no_model(*_: object, **__: object) -> None:
        raise AssertionError("a replot loads a model")

    monkeypatch.setattr("qzoom.loading.load", no_model)
    (folder / "pareto.png").unlink()
    again = ["eval", "pareto", "--out", str(folder), "--replot", "--budgets", "64", "--json"]
    assert main(again) == 0
    found = json.loads(capsys.readouterr().out)
    assert [point["max_cells"] for point in found["points"]] == [64, 64]
    assert [point["samples"] for point in found["points"]] == [4, 4]
    assert (folder / "pareto.png").is_file()
