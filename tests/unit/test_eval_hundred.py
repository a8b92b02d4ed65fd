"""The first hundred samples of every benchmark, from files laid out as they are published."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from tests.published import Parrot, base64_of, cell, parquet

from qzoom.eval.benchmarks.registry import MODULES, benchmark_of
from qzoom.eval.rows import read_results
from qzoom.eval.runner import RunPlan, run_benchmark
from qzoom.eval.samples import Scoring
from qzoom.eval.summary import summarize

COUNT, LIMIT = 130, 100
Row = dict[str, Any]


def doc(n: int) -> Row:
    return {
        "questionId": str(n),
        "question": f"Q{n}?",
        "answers": ["yes", f"{n}"],
        "image": cell(n),
    }


def chart(n: int) -> Row:
    kind = ("human_test", "augmented_test")[n % 2]
    return {"type": kind, "question": f"Q{n}?", "answer": str(n), "image": cell(n)}


def ocr(n: int) -> Row:
    kinds = ("Regular Text Recognition", "Scene Text-centric VQA", "Key Information Extraction")
    row = {"dataset": "IIIT5K", "question": f"Q{n}?", "question_type": kinds[n % 3]}
    return row | {"answer": ["yes"], "image": cell(n)}


def text(n: int) -> Row:
    row = {"question_id": n, "image_id": f"i{n // 2}", "question": f"Q{n}?"}
    return row | {"answers": ["yes"] * 6 + ["no"] * 4, "image": cell(n // 2)}


def star(n: int) -> Row:
    kind = ("direct_attributes", "relative_position")[n % 2]
    asked = f"Q{n}?\n(A) red\n(B) blue"
    return {"text": asked, "category": kind, "label": "AB"[n % 2], "question_id": str(n)} | {
        "image": cell(n)
    }


def hr(n: int) -> Row:
    row = {
        "index": n,
        "image": base64_of(n // 4),
        "question": f"Q{n // 4}?",
        "answer": "ABCD"[n % 4],
    }
    options = {"A": "red", "B": "blue", "C": "green", "D": "pink"}
    return (
        row | options | {"cycle_category": str(n % 4), "category": ("single", "cross")[n // 4 % 2]}
    )


def world(n: int) -> Row:
    options = ["(A) 1", "(B) 2", "(C) 3", "(D) 4", "(E) This image doesn't feature the number."]
    row = {"index": n, "bytes": base64_of(n), "question": f"Q{n}?", "answer": "ABCDE"[n % 5]}
    kinds = {"category": "Perception/Remote Sensing", "l2-category": ("color", "count")[n % 2]}
    return row | kinds | {"multi-choice options": options}


def mmstar(n: int) -> Row:
    asked = f"Q{n}?\nOptions: A: red, B: blue, C: green, D: pink"
    kinds = {"category": ("math", "logic")[n % 2], "l2_category": ("a", "b", "c")[n % 3]}
    return {"index": n, "question": asked, "answer": "ABCD"[n % 4], "image": cell(n)} | kinds


def mme(n: int) -> Row:
    row = {"question_id": f"OCR/{n // 2}.png", "image": cell(n // 2), "category": "OCR"}
    return row | {"question": "Is it? Please answer yes or no.", "answer": ("Yes", "No")[n % 2]}


def pope(n: int) -> Row:
    row = {"question_id": str(n), "question": f"Is there a {n}?", "answer": ("yes", "no")[n % 2]}
    return row | {"image": cell(n // 6), "image_source": f"c{n // 6}", "category": "adversarial"}


LAYOUTS: dict[str, tuple[str, Callable[[int], Row]]] = {
    "docvqa": ("DocVQA/validation-0000{}-of-00002.parquet", doc),
    "infovqa": ("InfographicVQA/validation-0000{}-of-00002.parquet", doc),
    "chartqa": ("data/test-0000{}-of-00002.parquet", chart),
    "ocrbench": ("data/test-0000{}-of-00002.parquet", ocr),
    "textvqa": ("data/validation-0000{}-of-00002.parquet", text),
    "vstar": ("data/test-0000{}-of-00002.parquet", star),
    "hrbench4k": ("hrbench_version_split/hrbench_4k-0000{}-of-00002.parquet", hr),
    "hrbench8k": ("hrbench_version_split/hrbench_8k-0000{}-of-00002.parquet", hr),
    "mmerealworld_lite": ("data/train-0000{}-of-00002.parquet", world),
    "mmstar": ("data/val-0000{}-of-00002.parquet", mmstar),
    "mme": ("data/test-0000{}-of-00002.parquet", mme),
    "pope": ("data/test-0000{}-of-00002.parquet", pope),
}


def test_all_benchmarks_are_here() -> None:
    assert LAYOUTS.keys() == MODULES.keys()


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_hundred_samples(tmp_path: Path, name: str) -> None:
    pattern, row_of = LAYOUTS[name]
    rows = [row_of(n) for n in range(COUNT)]
    for shard, part in enumerate((rows[:70], rows[70:])):
        parquet(tmp_path / "files" / pattern.format(shard), part)
    benchmark = benchmark_of(name)
    for scoring in get_args(Scoring):
        out = tmp_path / f"{scoring}.jsonl"
        parrot = Parrot("yes" if name in ("docvqa", "mme", "pope", "textvqa") else "A")
        plan = RunPlan(scoring, limit=LIMIT)
        report = run_benchmark(benchmark, tmp_path / "files", parrot, out, plan, {"seed": 0})
        assert (report.answered, report.bad) == (LIMIT, [])
        found = list(read_results(out))
        assert len({row.sample for row in found}) == LIMIT
        assert all(row.score is None or 0 <= row.score <= 1 for row in found)
        scores = summarize(benchmark, found, scoring)["scores"]
        assert scores
        assert all(math.isfinite(value) for value in scores.values())
        every = [replace(row.scored(), score=1.0) for row in found]
        headline = next(iter(benchmark.summarize(every, scoring).values()))
        assert (headline > 1) == (scoring in benchmark.points)
        again = run_benchmark(benchmark, tmp_path / "files", parrot, out, plan, {"seed": 0})
        assert (again.known, again.answered) == (LIMIT, 0)
