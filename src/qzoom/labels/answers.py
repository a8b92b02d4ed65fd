"""Answers to a pool of questions, written as they come; a run that was killed goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from qzoom.errors import ConfigError, DataError, ImageError, LabelError, PromptError
from qzoom.images.decode import ImageSource
from qzoom.labels.answer_rows import AnswerRow, read_answers
from qzoom.labels.batches import in_batches
from qzoom.labels.failures import FailureLimit
from qzoom.labels.jsonl import JsonlLog, same_settings

_REASONS: Final = 10


class PoolRecord(Protocol):
    """A question about images."""

    @property
    def id(self) -> str:
        """Differs from all others' of the pool."""
        ...

    @property
    def image(self) -> str:
        """Path of the first image, as the data names it."""
        ...

    @property
    def images(self) -> Sequence[ImageSource]:
        """Images in order.

        Raises:
            DataError: When one is missing.
        """
        ...

    @property
    def question(self) -> str:
        """Plain text."""
        ...


class Answerer(Protocol):
    """Answers batches of records."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Whatever decides an answer; stored beside the answers."""
        ...

    def __call__(self, batch: Sequence[PoolRecord]) -> list[AnswerRow]:
        """One row for each record, in order.

        Raises:
            DataError, ImageError: When an image of the batch is missing or cannot be used.
            PromptError: When a question cannot.
        """
        ...


@dataclass(frozen=True)
class AnswerRun:
    """How a pool is run.

    Args:
        batch_size: Questions answered together.
        sync_every: Rows between two waits for the disk.
        limit: Share of records that may fail.

    Raises:
        ConfigError: If a count is below 1.
    """

    batch_size: int = 8
    sync_every: int = 64
    limit: FailureLimit = field(default_factory=FailureLimit)

    def __post_init__(self) -> None:
        for name in ("batch_size", "sync_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")


@dataclass
class AnswerReport:
    """Counts of a run: records seen, answered before, answered now, failed; the first reasons."""

    records: int = 0
    known: int = 0
    answered: int = 0
    failed: int = 0
    reasons: tuple[str, ...] = ()

    def fail(self, record: PoolRecord, error: Exception) -> None:
        """Count a record that cannot be answered."""
        self.failed += 1
        if len(self.reasons) < _REASONS:
            self.reasons = (*self.reasons, f"{record.id}: {error}")


def answer_pool(
    records: Iterable[PoolRecord],
    answer: Answerer,
    path: Path,
    run: AnswerRun | None = None,
    after_batch: Callable[[AnswerReport], None] | None = None,
) -> AnswerReport:
    """Append an answer to every record that has none yet, in order.

    A record whose image or question cannot be used is left out and counted; a later run tries it
    again.

    Args:
        records: The pool; ids differ.
        answer: What answers them.
        path: File of answers, made or gone on with; `path` with ".settings.json" tells how.
        run: Batches and limits.
        after_batch: Called with the counts so far, such as to show progress.

    Raises:
        ConfigError: If the file was made with other settings.
        LabelError: If too many records fail, two have the same id, or the file is damaged.
    """
    run, report = run or AnswerRun(), AnswerReport()
    with JsonlLog(path, sync_every=run.sync_every) as log:
        same_settings(path, answer.settings)
        done = {row.id for row in read_answers(path)}
        for batch in in_batches(_unanswered(records, done, report), run.batch_size):
            for row in _rows(batch, answer, report):
                log.append(row.to_json())
            if run.limit.exceeded(report.failed, report.records):
                raise LabelError(
                    f"{report.failed} of {report.records} records cannot be answered, over the "
                    f"limit of {run.limit.share:.0%}; the last: {report.reasons[-1]}"
                )
            if after_batch is not None:
                after_batch(report)
    return report


def _unanswered(
    records: Iterable[PoolRecord], done: set[str], report: AnswerReport
) -> Iterator[PoolRecord]:
    seen: set[str] = set()
    for record in records:
        if record.id in seen:
            raise LabelError(f"two records of the pool have the id {record.id!r}; rename one")
        seen.add(record.id)
        report.records += 1
        if record.id in done:
            report.known += 1
        else:
            yield record


def _rows(
    batch: Sequence[PoolRecord], answer: Answerer, report: AnswerReport
) -> Iterator[AnswerRow]:
    """Rows of a batch; where one record spoils it, of each record alone."""
    try:
        rows = answer(batch)
    except (DataError, ImageError, PromptError) as error:
        if len(batch) == 1:
            report.fail(batch[0], error)
            return
        for record in batch:
            yield from _rows([record], answer, report)
        return
    if [row.id for row in rows] != [record.id for record in batch]:
        raise LabelError(f"the answers to {len(batch)} records do not bear their ids in order")
    report.answered += len(rows)
    yield from rows
