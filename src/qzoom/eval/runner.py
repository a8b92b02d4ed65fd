"""A benchmark answered by a method, one row after the other on disk; a killed run goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from PIL import Image

from qzoom.data.files import Closing
from qzoom.errors import ConfigError, DataError, ImageError, PromptError
from qzoom.eval.benchmarks.base import Benchmark
from qzoom.eval.methods.base import Method, Opened, Told
from qzoom.eval.rows import ResultRow, read_results, row_of
from qzoom.eval.samples import Sample, Scoring, image_sha256
from qzoom.images.decode import decode_image
from qzoom.labels.jsonl import JsonlLog, same_settings

SAME: Final = ("weights", "dtype", "attention", "device", "seed")
"""What rows of one file share, of what they say about the run."""


@dataclass(frozen=True)
class RunPlan:
    """How a benchmark is run.

    limit: only the first so many samples.
    reuse: keep a picture open for the questions that follow it; times are then those of a session.
    max_bad: samples that may be unusable, by their picture or their text; they are left out.
    repeats: how often a sample is asked; its row has the times of the median.
    """

    scoring: Scoring = "lmms-eval"
    limit: int | None = None
    reuse: bool = False
    max_bad: int = 0
    repeats: int = 1

    def __post_init__(self) -> None:
        """Raises: ConfigError when pictures stay open and are to be timed again."""
        if self.reuse and self.repeats > 1:
            raise ConfigError(f"{self.repeats} repeats of an open picture time a cache; drop reuse")


@dataclass
class RunReport:
    """What a run did: rows found on disk, answered now, and left out for their pictures.

    asked: ids of the samples it went over; the file may hold more.
    """

    asked: set[str] = field(default_factory=set)
    known: int = 0
    answered: int = 0
    bad: list[str] = field(default_factory=list)


After = Callable[[RunReport], None]


class Answering(Closing):
    """Rows of a benchmark by one method, open for more; each is on disk before the next is begun.

    Args:
        run: what rows say about versions and hardware.

    Raises:
        ConfigError: when `out` was made under other settings.
        LabelError: when another run has it open.
    """

    def __init__(
        self, benchmark: Benchmark, method: Method, out: Path, plan: RunPlan, run: dict[str, Any]
    ) -> None:
        asked: dict[str, Any] = {
            "benchmark": benchmark.name,
            "scoring": plan.scoring,
            "reuse": plan.reuse,
            "repeats": plan.repeats,
        }
        asked |= dict(benchmark.settings) | {name: run[name] for name in SAME if name in run}
        same_settings(out, asked | {"method": method.name, **method.settings()})
        self.benchmark, self.plan, self.run, self.report = benchmark, plan, run, RunReport()
        self._log = JsonlLog(out, sync_every=1)
        self._done = {row.sample for row in read_results(out)}
        self._asking = _Asking(method, plan)

    def close(self) -> None:
        """Let go of the file."""
        self._log.close()

    def answer(self, samples: Iterable[Sample], after: After | None = None) -> None:
        """Answer those that the file does not hold yet.

        Raises:
            DataError: when more samples than `plan.max_bad` cannot be used.
        """
        for sample in samples:
            self.report.asked.add(sample.id)
            if sample.id in self._done:
                self.report.known += 1
                continue
            try:
                row = _answer(self.benchmark, sample, self._asking, self.plan, self.run)
            except (ImageError, PromptError) as error:
                _count_bad(self.report, sample, error, self.plan)
                continue
            self._log.append(row.to_json())
            self.report.answered += 1
            if after is not None:
                after(self.report)

    def warm_up(self, samples: Iterable[Sample]) -> bool:
        """Ask the first sample that is still to be answered and forget it: no row is timed cold.

        Returns:
            whether one was asked.
        """
        for sample in samples:
            if sample.id not in self._done:
                with suppress(ImageError, PromptError):
                    _answer(self.benchmark, sample, self._asking, self.plan, self.run)
                    return True
        return False


def run_benchmark(
    benchmark: Benchmark,
    data: Path,
    method: Method,
    out: Path,
    plan: RunPlan,
    run: dict[str, Any],
    after: After | None = None,
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
    with Answering(benchmark, method, out, plan, run) as answering:
        answering.answer(samples_of(benchmark, data, plan.limit), after)
    report = answering.report
    if not report.known and not report.answered:
        raise DataError(f"{data} holds no sample of {benchmark.name} that can be asked")
    return report


def samples_of(benchmark: Benchmark, data: Path, limit: int | None = None) -> Iterator[Sample]:
    """Samples in their order, at most `limit`, one at a time.

    Raises:
        DataError: when one is there twice.
    """
    seen: set[str] = set()
    for sample in islice(benchmark.read(data), limit):
        if sample.id in seen:
            raise DataError(
                f"{benchmark.name}: sample {sample.id!r} is there twice; ids must be unique"
            )
        seen.add(sample.id)
        yield sample


def answer_sample(
    benchmark: Benchmark, sample: Sample, method: Method, plan: RunPlan, run: dict[str, Any]
) -> ResultRow:
    """One row on its own, as `run_benchmark` makes it; its picture is opened for it."""
    return _answer(benchmark, sample, _Asking(method, plan), plan, run)


class _Asking:
    """Opens pictures, once for consecutive questions where that is wanted."""

    def __init__(self, method: Method, plan: RunPlan) -> None:
        self.method, self.plan = method, plan
        self._open: tuple[str, list[str], Opened] | None = None

    def __call__(
        self, sample: Sample, prompt: str, max_new_tokens: int
    ) -> tuple[Told, list[str], float]:
        """The reply, hashes of the pictures, and the seconds that decoding them took."""
        replies = [self._ask(sample, prompt, max_new_tokens) for _ in range(self.plan.repeats)]
        in_order = sorted(replies, key=lambda reply: reply[0].seconds.get("total", 0.0))
        return in_order[(len(in_order) - 1) // 2]

    def _ask(
        self, sample: Sample, prompt: str, max_new_tokens: int
    ) -> tuple[Told, list[str], float]:
        decode_s = 0.0
        if not self.plan.reuse or self._open is None or self._open[0] != sample.image_key:
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
        run=run | {"reuse": plan.reuse, "repeats": plan.repeats},
        benchmark_settings=dict(benchmark.settings),
    )


def _count_bad(report: RunReport, sample: Sample, error: Exception, plan: RunPlan) -> None:
    report.bad.append(f"{sample.id}: {error}")
    if len(report.bad) > plan.max_bad:
        raise DataError(
            f"sample {sample.id}: {error}; bad sample {len(report.bad)} where {plan.max_bad} are "
            "allowed; see --max-bad"
        ) from None
