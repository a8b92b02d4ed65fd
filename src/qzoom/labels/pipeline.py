"""Records in, label shards out: resumable, in parts, with memory that does not grow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

from qzoom.data.images import ImageFolder
from qzoom.data.records import Record
from qzoom.errors import DataError, ImageError, PromptError
from qzoom.labels.pool import turn_id
from qzoom.labels.presets import Kind
from qzoom.labels.region import RegionLabeller, RegionSample
from qzoom.labels.store import LabelRow, LabelStore

Report = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How a run is cut up.

    Args:
        shard_size: Questions of a shard.
        batch_size: Questions answered at a time.
        part, parts: This process takes every `parts`-th shard, from `part` (0-based) on.
        most_bad: Share of a shard's pictures that may be missing or undecodable.

    Raises:
        DataError: If a number is out of range.
    """

    shard_size: int = 512
    batch_size: int = 8
    part: int = 0
    parts: int = 1
    most_bad: float = 0.05

    def __post_init__(self) -> None:
        if self.shard_size < 1 or self.batch_size < 1:
            raise DataError("shard_size and batch_size must be at least 1")
        if not 0 <= self.part < self.parts:
            raise DataError(f"part {self.part} of {self.parts}; parts count from 0")


@dataclass
class Counts:
    """What a run did; `kept` shards were there already."""

    labelled: int = 0
    teaching: int = 0
    bad_images: int = 0
    shards: int = 0
    kept: int = 0


@dataclass(frozen=True)
class _Question:
    id: str
    path: str
    text: str
    mode: Kind

    def bad_row(self, error: Exception) -> LabelRow:
        fields = {"id": self.id, "image": self.path, "question": self.text, "kind": self.mode}
        return LabelRow(fields | {"teaches": False, "error": str(error)}, {})


def label_records(
    records: Iterable[Record],
    images: ImageFolder,
    labeller: RegionLabeller,
    store: LabelStore,
    plan: Plan,
    report: Report = lambda line: None,
) -> Counts:
    """Label every question of every record; committed shards are not made again.

    A picture that is missing or cannot be used gives a row that says so.

    Raises:
        DataError: When more of a shard's pictures are bad than the plan allows, or a committed
            shard holds other questions; what was committed stays.
    """
    counts, began = Counts(), time.monotonic()
    questions = _questions(records)
    for shard, own in enumerate(iter(lambda: list(islice(questions, plan.shard_size)), [])):
        if shard % plan.parts != plan.part:
            continue
        if store.has(shard):
            store.check(shard, [question.id for question in own])
            counts.kept += 1
            continue
        rows = list(_label_shard(own, images, labeller, plan, counts))
        _check_bad(rows, shard, plan)
        store.write(shard, rows)
        counts.shards += 1
        pace_s = (time.monotonic() - began) / counts.labelled
        report(
            f"shard {shard}: {counts.labelled} questions labelled, {counts.teaching} teach, "
            f"{counts.bad_images} bad pictures, {pace_s:.2f} s each"
        )
    return counts


def _questions(records: Iterable[Record]) -> Iterator[_Question]:
    for record in records:
        for turn, asked in enumerate(record.turns):
            yield _Question(turn_id(record, turn), record.images[0], asked.question, record.mode)


def _label_shard(
    questions: list[_Question],
    images: ImageFolder,
    labeller: RegionLabeller,
    plan: Plan,
    counts: Counts,
) -> Iterator[LabelRow]:
    """Rows of a shard in order; runs of one kind are answered in batches."""
    for _, run in groupby(questions, key=lambda question: question.mode):
        same = list(run)
        for first in range(0, len(same), plan.batch_size):
            yield from _label_batch(same[first : first + plan.batch_size], images, labeller, counts)


def _label_batch(
    batch: list[_Question], images: ImageFolder, labeller: RegionLabeller, counts: Counts
) -> list[LabelRow]:
    opened = [(question, _open(question, images)) for question in batch]
    samples = [(q, sample) for q, sample in opened if isinstance(sample, RegionSample)]
    labelled = _label_samples(samples, labeller)
    rows = [next(labelled) if isinstance(f, RegionSample) else f for _, f in opened]
    counts.labelled += len(batch)
    counts.bad_images += sum("error" in row.fields for row in rows)
    counts.teaching += sum(bool(row.fields["teaches"]) for row in rows)
    return rows


def _open(question: _Question, images: ImageFolder) -> RegionSample | LabelRow:
    try:
        image = images.open(question.path)
    except (DataError, ImageError) as error:
        return question.bad_row(error)
    return RegionSample(question.id, question.path, image, question.text, question.mode)


def _label_samples(
    samples: Sequence[tuple[_Question, RegionSample]], labeller: RegionLabeller
) -> Iterator[LabelRow]:
    """Rows of samples; where one of a shape that no model takes spoils them, of each alone."""
    if not samples:
        return
    try:
        rows = labeller([sample for _, sample in samples])
    except (ImageError, PromptError) as error:
        if len(samples) == 1:
            yield samples[0][0].bad_row(error)
            return
        for sample in samples:
            yield from _label_samples([sample], labeller)
        return
    yield from rows


def _check_bad(rows: list[LabelRow], shard: int, plan: Plan) -> None:
    errors = [row.fields["error"] for row in rows if "error" in row.fields]
    # The last shard may be short; one bad picture in it must not weigh as much as in a whole one.
    if len(errors) > plan.most_bad * (plan.shard_size if shard else len(rows)):
        raise DataError(
            f"{len(errors)} of {len(rows)} pictures of shard {shard} are bad (limit "
            f"{plan.most_bad:.0%}); the first: {errors[0]}"
        )
