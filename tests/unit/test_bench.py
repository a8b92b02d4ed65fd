"""The speed benchmark: contenders answer alike, mixes add up, reports hold what they say."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from qzoom.bench import measure
from qzoom.bench.against import against_largest
from qzoom.bench.machine_peaks import counts_of
from qzoom.bench.measure import BenchPlan
from qzoom.bench.mixes import mix_of
from qzoom.bench.ours import NEVER, Ours, under
from qzoom.bench.plain import Plain
from qzoom.bench.prompts import Prompt
from qzoom.bench.shapes import SHAPES, with_picture
from qzoom.bench.subject import Subject, build
from qzoom.cli import main


@pytest.fixture(scope="module", params=["tiny", "tiny-windowed"])
def subject(request: pytest.FixtureRequest) -> Subject:
    built = build(SHAPES[request.param], dtype=torch.float32, device="cpu", attn="sdpa", seed=0)
    return under(built, cells=90, roi_cells=30)


def test_contenders_answer_alike(subject: Subject) -> None:
    """In float32 every contender generates the same tokens, so they do the same work."""
    ours, plain = Ours(subject, 5), Plain(subject, 5)
    prompts = [Prompt(subject, number) for number in range(3)]
    assert ours.direct(*prompts).tolist() == plain.direct(*prompts).tolist()
    box = ours.box(prompts[0])
    zoomed = ours.zoomed(prompts[0])
    assert zoomed.tolist() == plain.zoomed(box, prompts[0]).tolist()
    assert zoomed.tolist() != ours.direct(prompts[0]).tolist()
    cache = plain.prefix_cache(prompts[0])
    session = ours.open()
    for prompt in prompts:
        expected = plain.direct(prompt)[0].tolist()
        assert plain.cached(cache, prompt)[0].tolist() == expected
        assert ours.later(session, prompt, NEVER).token_ids == expected


def test_a_later_zoom_encodes_its_crop_again(subject: Subject) -> None:
    ours = Ours(subject, 1)
    session = ours.open()
    for number in range(3):
        told = ours.later(session, Prompt(subject, number), 0.0)
        assert told.zoomed
        assert told.timings_s["crop"] > 0.0005


def test_a_threshold_splits_a_batch(subject: Subject) -> None:
    ours = Ours(subject, 3)
    prompts = [Prompt(subject, number) for number in range(4)]
    threshold, firing = ours.threshold_for(0.5, prompts)
    assert firing == 2
    routed = ours.routed(threshold, *prompts).tolist()
    direct = [ours.direct(prompt)[0].tolist() for prompt in prompts]
    zoomed = [ours.zoomed(prompt)[0].tolist() for prompt in prompts]
    looks = ours._call(threshold, *prompts, return_details=True).zoomed
    assert sum(looks) == 2
    assert routed == [
        one if look else other for one, other, look in zip(zoomed, direct, looks, strict=True)
    ]


@pytest.mark.parametrize("cells", [48, 576, 4096])
def test_the_picture_fills_the_budget(cells: int) -> None:
    shape = with_picture(SHAPES["tiny-windowed"], cells)
    side = 28
    width, height = shape.image_wh_px
    assert cells <= width * height / side**2 < 1.3 * cells


def test_gates_that_are_equal_zoom_together(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates = SimpleNamespace(gate_probability=[0.75, 0.5, 0.5, 0.25])
    monkeypatch.setattr(Ours, "_details", lambda *_: gates)
    assert Ours(subject, 1).threshold_for(0.5, []) == (0.5, 3)


def test_attention_is_counted() -> None:
    """Two products of heads * rows * rows * size, two operations for each multiply-add."""
    heads = torch.randn(1, 4, 64, 32)
    flops, _ = counts_of(lambda: F.scaled_dot_product_attention(heads, heads, heads), "cpu")
    assert flops == 2 * 2 * 4 * 64 * 64 * 32


def test_every_contender_has_a_turn_that_does_not_count(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[str] = []
    work = {name: lambda name=name: turns.append(name) for name in ("counted", "later")}
    first = SimpleNamespace(grid_hw=(2, 3), inputs={"input_ids": torch.zeros(1, 9)})
    monkeypatch.setattr(measure, "_contenders", lambda *_: (work, ["counted"], first))
    plan = BenchPlan((48,), (20,), (1,), (0.5,), (1,), repeats=2)
    found = measure.measure_budget(subject, 48, plan)
    assert (turns.count("counted"), turns.count("later")) == (3, 3)
    assert [len(seconds) for seconds in found.seconds.values()] == [2, 2]


def test_mixes_add_up() -> None:
    seconds = {
        "plain": [10.0],
        "plain later": [2.0],
        "ours direct": [11.0],
        "ours zoomed 160": [21.0],
        "ours direct later": [1.0],
        "ours zoomed later 160": [5.0],
        "two prefills 160": [30.0],
    }
    found = mix_of(seconds, 160, 0.25, 4)
    assert found["plain"] == [10.0]
    assert found["plain, prefix cache"] == [4.0]
    assert found["two prefills"] == [15.0]
    assert found["qzoom"] == [(13.5 + 3 * 2.0) / 4]


def test_speed_up_over_the_largest_budget() -> None:
    mix = {"budget": 576, "roi_cells": 160, "fire_rate": 0.35, "questions": 1}
    report = {
        "budgets": [
            {"cells_at_most": 576, "median_s": {"plain": 1.0}},
            {"cells_at_most": 4096, "median_s": {"plain": 9.0}},
        ],
        "mixes": [mix | {"seconds_per_question": {"qzoom": 2.0}}],
    }
    assert against_largest(report) == [mix | {"against_cells": 4096, "speed_up": 4.5}]


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bench.json"
    plan = BenchPlan((48,), (20,), (1, 2), (0.5,), (1, 2), new_tokens=2, repeats=1)
    words = "bench --shape tiny --budgets 48 --roi-cells 20 --batches 1 2 --fire-rates 0.5"
    words += f" --questions 1 2 --new-tokens 2 --repeats 1 --out {out}"
    assert main(words.split()) == 0
    shown = capsys.readouterr().out
    assert "batch of 2" in shown
    report = json.loads(out.read_text())
    assert report["settings"]["budgets"] == list(plan.budgets)
    (row,) = report["budgets"]
    assert 40 <= row["cells"] <= 48
    # A zoomed question costs more than a direct one, and less than two prefills.
    assert row["flops"]["ours direct"] < row["flops"]["ours zoomed 20"]
    assert row["flops"]["ours zoomed 20"] < row["flops"]["two prefills 20"]
    assert [mix["questions"] for mix in report["mixes"]] == [1, 2]
    assert report["batches"][0]["firing"] == 1
    assert out.with_suffix(".png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--shape huge", "no shape is called 'huge'; known: tiny"),
        ("--dtype int9", "dtype is 'int9'; use float32"),
        ("--out report.txt", "must end in .json"),
        ("--fire-rates 1.5", "must be a number from 0 to 1"),
    ],
)
def test_bad_options(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *words.split()]) == 2
    assert message in capsys.readouterr().err
