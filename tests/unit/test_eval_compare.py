"""Comparing two files of rows: what is paired, what is refused, and the statistics by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.result_rows import make_row, write_rows

from qzoom.cli import main
from qzoom.errors import DataError
from qzoom.eval.bootstrap import DRAWS, bootstrap_p, clustered_ratio, sign_test_p
from qzoom.eval.compare import compare

ZOOM = {
    "method": "zoom",
    "zoomed": True,
    "roi_tokens": 50,
    "seconds": {"decode": 0.1, "total": 3.0},
}


def test_differences_are_those_of_shared_samples() -> None:
    zoom = [make_row("a1", 1.0, **ZOOM), make_row("b1", 1.0, **ZOOM), make_row("c1", 0.0, **ZOOM)]
    zoom += [make_row("d1", 1.0, method="zoom"), make_row("x1", 1.0, **ZOOM)]
    direct = [make_row("a1", 0.0), make_row("b1", 0.0), make_row("c1", 1.0), make_row("d1", 1.0)]
    direct += [make_row("e1", None), make_row("y1", 1.0), make_row("y2", 1.0)]
    zoom.append(make_row("e1", 1.0, **ZOOM))
    found = compare(zoom, direct)
    assert (found["samples"], found["pictures"], found["unscored"]) == (4, 4, 1)
    assert (found["only_in_a"], found["only_in_b"]) == (1, 2)
    assert (found["wins"], found["losses"], found["ties"]) == (2, 1, 1)
    assert found["score_difference"]["mean"] == pytest.approx(0.25)
    low, high = found["score_difference"]["interval_95"]
    assert low < 0.25 < high
    assert found["p_sign_test"] == 1.0  # 2 against 1
    # Three of four zoom: 150 against 100 cells, 3 against 2 seconds.
    assert found["visual_tokens_difference"]["mean"] == pytest.approx(37.5)
    assert found["time_ratio"]["mean"] == pytest.approx(11 / 8)
    assert found["gates"]["only_a"] == {"samples": 3, "score_a": 0.6667, "score_b": 0.3333}
    assert found["gates"]["neither"]["samples"] == 1
    assert found["gates"]["both"] == {"samples": 0, "score_a": None, "score_b": None}
    assert found["runs_differ"] == {}


def test_questions_of_a_picture_count_as_one_witness() -> None:
    apart = [f"{letter}1" for letter in "abcdefgh"]
    together = [f"a{number}" for number in range(8)]
    found = []
    for names in (apart, together):
        rows = [make_row(name, 1.0) for name in names], [make_row(name, 0.0) for name in names]
        found.append(compare(*rows))
    assert found[0]["p_sign_test"] == pytest.approx(2 / 2**8)
    assert found[1]["p_sign_test"] == 1.0
    assert found[0]["p_bootstrap"] == pytest.approx(2 / (DRAWS + 1))


def test_p_values_by_hand() -> None:
    clusters = list(range(12))
    nine_to_three = [1.0] * 9 + [-1.0] * 3
    # 2 * (1 + 12 + 66 + 220) / 4096
    assert sign_test_p(nine_to_three, clusters) == pytest.approx(598 / 4096)
    assert sign_test_p([0.0] * 12, clusters) == 1.0
    assert bootstrap_p([0.0] * 12, clusters) == 1.0
    assert 0.02 < bootstrap_p(nine_to_three, clusters) < 0.15
    balanced = [1.0] * 6 + [-1.0] * 6
    assert bootstrap_p(balanced, clusters) > 0.9


def test_a_ratio_is_that_of_sums() -> None:
    found = clustered_ratio([3.0, 1.0], [1.0, 1.0], ["a", "b"])
    assert found.mean == 2.0
    assert (found.low, found.high) == (1.0, 3.0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prompt_sha256": "other"}, "sample a1 has prompt_sha256 prompt of a1 in A and other in"),
        ({"images_sha256": ["z"]}, "sample a1 has images_sha256"),
        ({"scoring": "strict"}, "A has scoring 'lmms-eval' and B 'strict'"),
        ({"benchmark": "docvqa"}, "A has benchmark 'fake' and B 'docvqa'"),
        ({"score": None}, "no scored sample is in A"),
    ],
)
def test_different_questions_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(DataError, match=said):
        compare([make_row("a1", 1.0)], [make_row("a1", **{"score": 1.0} | changes)])
    with pytest.raises(DataError, match="a1 twice"):
        compare([make_row("a1", 1.0)] * 2, [make_row("a1", 1.0)])


def test_the_command_says_all_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["a1", "a2", "b1"]
    a = write_rows(tmp_path / "a.jsonl", [make_row(name, 1.0, **ZOOM) for name in names])
    other = {"run": {**make_row("a1", 1.0).run, "hardware": "slide rule"}}
    b = write_rows(tmp_path / "b.jsonl", [make_row(name, 0.0, **other) for name in names])
    assert main(["eval", "compare", str(a), str(b)]) == 0
    text = capsys.readouterr().out
    assert "3 samples of 2 pictures" in text
    assert "A wins 3, loses 0, ties 0" in text
    assert "1.50x to 1.50x" in text
    assert "times are not comparable: hardware is abacus in A and slide rule in B" in text
    assert main(["eval", "compare", str(a), str(b), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["score_difference"]["mean"] == 1.0
