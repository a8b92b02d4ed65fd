"""A benchmark answered by a method, one row after the other on disk; a killed run goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from PIL import Image

from qzoom.errors import DataError, ImageError
from qzoom.eval.benchmarks.base import Benchmark
from qzoom.eval.methods.base import Method, Opened, Told
from qzoom.eval.rows import ResultRow, read_results, row_of
from qzoom.eval.samples import Sample, Scoring, image_sha256
from qzoom.images.decode import decode_image
from qzoom.labels.jsonl import JsonlLog, same_settings

SAME: Final = ("dtype", "attention", "device", "seed")
"""What rows of one file share, of what they say about the run."""


@dataclass(frozen=True)
class RunPlan:
    """How a benchmark is run.

    limit: only the first so many samples.
    reuse: keep a picture open for the questions that follow it; times are then those of a session.
    max_bad: pictures that may be unusable; they are counted, and left out.
    """

    scoring: Scoring = "lmms-eval"
    limit: int | None = None
    reuse: bool = False
    max_bad: int = 0


@dataclass
class RunReport:
    """What a run did: rows found on disk, answered now, and left out for their pictures."""

    known: int = 0
    answered: int = 0
    bad: list[str] = field(default_factory=list)


def run_benchmark(
    benchmark: Benchmark,
    data: Path,
    method: Method,
    out: Path,
    plan: RunPlan,
    run: dict[str, Any],
    after: Callable[[RunReport], None] | None = None,
) -> RunReport:
    """Answer what `out` does not hold yet; each row is on disk before the next is begun.

    Args:
        data: the benchmark's files.
        run: what rows say about versions and hardware.
        after: called after every answer.

    Raises:
        ConfigError: when `out` was made under other settings.
        DataError: when the benchmark has no sample, holds one twice, or more pictures than
            `plan.max_bad` cannot be used.
    """
    asked: dict[str, Any] = {
        "benchmark": benchmark.name,
        "scoring": plan.scoring,
        "reuse": plan.reuse,
    }
    asked |= dict(benchmark.settings) | {name: run[name] for name in SAME if name in run}
    same_settings(out, asked | {"method": method.name, **method.settings()})
    report = RunReport()
    with JsonlLog(out, sync_every=1) as log:
        done = {row.sample for row in read_results(out)}
        asking = _Asking(method, plan.reuse)
        samples = _unique(islice(benchmark.read(data), plan.limit), benchmark.name)
        for sample in samples:
            if sample.id in done:
                report.known += 1
                continue
            try:
                row = _answer(benchmark, sample, asking, plan, run)
            except ImageError as error:
                _count_bad(report, sample, error, plan)
                continue
            log.append(row.to_json())
            report.answered += 1
            if after is not None:
                after(report)
    if not report.known and not report.answered:
        raise DataError(f"{data} holds no sample of {benchmark.name} that can be asked")
    return report


def answer_sample(
    benchmark: Benchmark, sample: Sample, method: Method, plan: RunPlan, run: dict[str, Any]
) -> ResultRow:
    """One row on its own, as `run_benchmark` makes it without reuse."""
    return _answer(benchmark, sample, _Asking(method, False), plan, run)


class _Asking:
    """Opens pictures, once for consecutive questions where that is wanted."""

    def __init__(self, method: Method, reuse: bool) -> None:
        self.method, self.reuse = method, reuse
        self._open: tuple[str, list[str], Opened] | None = None

    def __call__(
        self, sample: Sample, prompt: str, max_new_tokens: int
    ) -> tuple[Told, list[str], float]:
        """The reply, hashes of the pictures, and the seconds that decoding them took."""
        decode_s = 0.0
        if not self.reuse or self._open is None or self._open[0] != sample.image_key:
            begun = perf_counter()
            images: list[Image.Image] = [decode_image(source) for source in sample.images]
            decode_s = perf_counter() - begun
            hashes = [image_sha256(source) for source in sample.images]
            self._open = sample.image_key, hashes, self.method.open(images)
        _, hashes, opened = self._open
        return opened.ask(prompt, max_new_tokens, sample.boxes_px_xyxy), hashes, decode_s


def _answer(
    benchmark: Benchmark, sample: Sample, asking: _Asking, plan: RunPlan, run: dict[str, Any]
) -> ResultRow:
    prompt = benchmark.prompt(sample, plan.scoring)
    told, hashes, decode_s = asking(sample, prompt, benchmark.max_new_tokens)
    return row_of(
        sample,
        told,
        prompt=prompt,
        images_sha256=hashes,
        decode_s=decode_s,
        benchmark=benchmark.name,
        method=asking.method.name,
        scoring=plan.scoring,
        score=benchmark.score(sample, told.text, plan.scoring),
        max_new_tokens=benchmark.max_new_tokens,
        settings=asking.method.settings(),
        run=run,
    )


def _unique(samples: Iterable[Sample], name: str) -> Iterator[Sample]:
    seen: set[str] = set()
    for sample in samples:
        if sample.id in seen:
            raise DataError(f"{name}: sample {sample.id!r} is there twice; ids must be unique")
        seen.add(sample.id)
        yield sample


def _count_bad(report: RunReport, sample: Sample, error: ImageError, plan: RunPlan) -> None:
    report.bad.append(f"{sample.id}: {error}")
    if len(report.bad) > plan.max_bad:
        raise DataError(
            f"sample {sample.id}: {error}; bad picture {len(report.bad)} where {plan.max_bad} are "
            "allowed; see --max-bad"
        ) from None
