"""Result rows made by hand, a benchmark and methods without a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from qzoom.eval.benchmarks.base import Benchmark, Scored, mean_score
from qzoom.eval.methods.base import Told
from qzoom.eval.rows import ResultRow
from qzoom.eval.samples import Sample, Scoring
from qzoom.labels.jsonl import encode_row

RUN = {"hardware": "abacus", "device": "cpu", "threads": 1, "dtype": "float32", "batch": 1}


def make_row(sample: str, score: float | None, **changes: Any) -> ResultRow:
    """A row of a direct answer in 2 s with 100 cells; the picture is the sample's first letter."""
    fields: dict[str, Any] = {
        "benchmark": "fake",
        "sample": sample,
        "image_key": sample[0],
        "method": "direct",
        "scoring": "lmms-eval",
        "score": score,
        "prediction": "yes",
        "prompt_sha256": f"prompt of {sample}",
        "images_sha256": [sample[0]],
        "gold": {"question": "is it?", "answers": ["yes"]},
        "zoomed": False,
        "gate_probability": None,
        "boxes_px_xyxy": [],
        "source_tokens": 100,
        "roi_tokens": 0,
        "prompt_tokens": 120,
        "new_tokens": 1,
        "max_new_tokens": 8,
        "prefills": 1,
        "seconds": {"decode": 0.5, "total": 2.0},
        "settings": {"model": "toy", "min_cells": 1, "max_cells": 64},
        "run": RUN,
    }
    return ResultRow(**fields | changes)


def write_rows(path: Path, rows: Sequence[ResultRow]) -> Path:
    """A file of rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(encode_row(row.to_json()) for row in rows))
    return path


def fake_benchmark(name: str = "fake", samples: int = 6, per_picture: int = 2) -> Benchmark:
    """Questions whose answer is "yes"; strict scoring does not forgive capitals."""

    def read(_: object) -> Iterator[Sample]:
        for number in range(samples):
            key = f"p{number // per_picture}"
            picture = Image.new("RGB", (64, 64), (number // per_picture, 0, 0))
            yield Sample(f"{key}-{number}", key, (picture,), f"question {number}", ("yes",))

    def score(sample: Sample, prediction: str, scoring: Scoring) -> float:
        said = prediction if scoring == "strict" else prediction.lower()
        return float(said in sample.answers)

    def summarize(scored: Sequence[Scored], scoring: Scoring) -> dict[str, float]:
        return {"accuracy": mean_score(scored)}

    return Benchmark(
        name,
        f"{name} questions",
        8,
        read,
        lambda sample, scoring: sample.question,
        score,
        summarize,
    )


@dataclass
class FakeMethod:
    """Says what it is told to say, in a time and with tokens of its budget."""

    name: str
    cells: int
    says: str = "yes"
    asked: list[str] = field(default_factory=list)

    def open(self, images: Sequence[Image.Image]) -> FakeMethod:
        """Itself."""
        return self

    def ask(self, prompt: str, max_new_tokens: int, boxes_px_xyxy: Sequence[Any] = ()) -> Told:
        """Count the question."""
        self.asked.append(prompt)
        seconds = {"total": self.cells / 100}
        return Told(self.says, self.cells, 0, 1, self.cells + 5, seconds=seconds)

    def settings(self) -> dict[str, Any]:
        """As a method's."""
        return {"model": "toy", "min_cells": 1, "max_cells": self.cells}
