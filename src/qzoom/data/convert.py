"""From published files to a file of records: limits, samples, and an account of bad rows."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from qzoom.data.images import ImageFolder
from qzoom.data.jsonl import write_records
from qzoom.data.readers.options import ReadOptions
from qzoom.data.readers.registry import Reader
from qzoom.data.records import Record
from qzoom.errors import DataError

SHOWN: Final = 5
"""How many bad rows and missing images a report names."""


@dataclass
class Conversion:
    """What a conversion wrote and left out."""

    records: int = 0
    turns: int = 0
    by_dataset: Counter[str] = field(default_factory=Counter)
    bad_rows: int = 0
    first_bad_rows: list[str] = field(default_factory=list)
    missing_images: int = 0
    first_missing_images: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON."""
        return {**vars(self), "by_dataset": dict(sorted(self.by_dataset.items()))}


def convert(
    reader: Reader,
    inputs: Sequence[Path],
    options: ReadOptions,
    out: Path,
    *,
    limit: int | None = None,
    seed: str | None = None,
    only_split: str | None = None,
    max_bad: int = 0,
) -> Conversion:
    """Write the records of a reader to `out`, which appears only when all are written.

    Args:
        limit: at most so many records; None takes all.
        seed: names a repeatable random sample of `limit` records, kept in memory and written in
            their order; None takes the first `limit`.
        only_split: leave out records of other splits.
        max_bad: rows that may be left out because something is wrong with them.

    Raises:
        DataError: when more rows are bad, no record is left, or an input cannot be read.
    """
    if seed is not None and limit is None:
        raise DataError("--seed names a random sample; give its size with --limit")
    report = Conversion()
    good = _good(reader.read(inputs, options), report, max_bad)
    if only_split is not None:
        good = (record for record in good if record.split == only_split)
    chosen = islice(good, limit) if seed is None else sample(good, limit or 0, seed)
    write_records(out, _counted(chosen, report, ImageFolder(options.images)))
    return report


class Named(Protocol):
    """What has an id."""

    @property
    def id(self) -> str:
        """Unique among what is drawn from."""


N = TypeVar("N", bound=Named)


def sample(records: Iterator[N], size: int, seed: str) -> Iterator[N]:
    """`size` records drawn by a hash of seed and id, in their order."""

    def rank(numbered: tuple[int, N]) -> bytes:
        return hashlib.sha256(f"{seed}/{numbered[1].id}".encode()).digest()

    drawn = heapq.nsmallest(size, enumerate(records), key=rank)
    return (record for _, record in sorted(drawn, key=lambda numbered: numbered[0]))


def _good(
    found: Iterator[Record | DataError], report: Conversion, max_bad: int
) -> Iterator[Record]:
    for record in found:
        if isinstance(record, Record):
            yield record
            continue
        report.bad_rows += 1
        if len(report.first_bad_rows) < SHOWN:
            report.first_bad_rows.append(str(record))
        if report.bad_rows > max_bad:
            hint = f"bad row {report.bad_rows} where {max_bad} are allowed; see --max-bad"
            raise DataError(f"{record}; {hint}")


def _counted(
    records: Iterator[Record], report: Conversion, folder: ImageFolder
) -> Iterator[Record]:
    seen: set[str] = set()
    for record in records:
        report.records += 1
        report.turns += len(record.turns)
        report.by_dataset[record.dataset] += 1
        for path in record.images:
            if path not in seen:
                seen.add(path)
                _look_for(path, folder, report)
        yield record
    if not report.records:
        raise DataError(
            "no record was found in the inputs; is it the right reader, --only and --only-split?"
        )


def _look_for(path: str, folder: ImageFolder, report: Conversion) -> None:
    try:
        folder.find(path)
    except DataError:
        report.missing_images += 1
        if len(report.first_missing_images) < SHOWN:
            report.first_missing_images.append(path)
