"""Small benchmark files laid out as published, and something that answers without a model."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from qzoom.eval.benchmarks.base import Benchmark
from qzoom.eval.benchmarks.registry import benchmark_of
from qzoom.eval.methods.base import Told
from qzoom.eval.rows import ResultRow, read_results
from qzoom.eval.runner import RunPlan, run_benchmark
from qzoom.eval.samples import Sample, Scoring
from qzoom.eval.summary import summarize
from qzoom.geometry.boxes import BoxLike

SIZE_PX = (40, 30)


def picture(shade: int = 0) -> bytes:
    """An encoded picture; another shade is another picture."""
    file = io.BytesIO()
    Image.new("RGB", SIZE_PX, (shade, 0, 0)).save(file, "PNG")
    return file.getvalue()


def text_picture(shade: int = 0) -> str:
    return base64.b64encode(picture(shade)).decode()


def cell_picture(shade: int = 0) -> dict[str, Any]:
    """As the hub's parquet files hold a picture."""
    return {"bytes": picture(shade), "path": None}


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@dataclass
class Fake:
    """Says what a function of the prompt says, and keeps what it was told."""

    say: Callable[[str], str]
    prompts: list[str] = field(default_factory=list)
    boxes: list[Sequence[BoxLike]] = field(default_factory=list)
    sizes_px: list[tuple[int, int]] = field(default_factory=list)
    name: str = "fake"

    def open(self, images: Sequence[Image.Image]) -> Fake:
        self.sizes_px.append(images[0].size)
        return self

    def ask(self, prompt: str, max_new_tokens: int, boxes_px_xyxy: Sequence[BoxLike] = ()) -> Told:
        self.prompts.append(prompt)
        self.boxes.append(boxes_px_xyxy)
        return Told(self.say(prompt), 10, 0, 1, 20, seconds={"total": 0.5})

    def settings(self) -> dict[str, Any]:
        return {"model": "none"}


@dataclass(frozen=True)
class Ran:
    """What a run left: rows, what was asked, and what it comes to."""

    rows: list[ResultRow]
    fake: Fake
    scores: dict[str, float]


def run(
    name: str, data: Path, out: Path, says: Sequence[str], scoring: Scoring = "lmms-eval"
) -> Ran:
    """Answer a benchmark with these replies, in order."""
    benchmark, replies = benchmark_of(name), iter(says)
    fake = Fake(lambda prompt: next(replies))
    path = out / f"{name}-{scoring}.jsonl"
    run_benchmark(benchmark, data, fake, path, RunPlan(scoring), {"seed": 0})
    rows = list(read_results(path))
    assert next(replies, None) is None, "fewer questions than replies"
    return Ran(rows, fake, summarize(benchmark, rows, scoring)["scores"])


def samples(name: str, data: Path) -> list[Sample]:
    benchmark: Benchmark = benchmark_of(name)
    return list(benchmark.read(data))
