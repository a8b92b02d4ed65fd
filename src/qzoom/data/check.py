"""What a file of records holds, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qzoom.data.fields import shown
from qzoom.data.images import ImageFolder, MissingImageError
from qzoom.data.jsonl import scan_records
from qzoom.data.records import Record
from qzoom.errors import DataError, ImageError, QZoomError


@dataclass
class Findings:
    """Things wrong of one kind: how many, and the first few by name."""

    count: int = 0
    first: list[str] = field(default_factory=list)
    shown: int = 5

    def add(self, text: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.first) < self.shown:
            self.first.append(text)


@dataclass
class Check:
    """Counts of a file and its problems by kind."""

    file: str
    records: int = 0
    turns: int = 0
    answered: int = 0
    boxes: int = 0
    images: int = 0
    by_dataset: Counter[str] = field(default_factory=Counter)
    by_mode: Counter[str] = field(default_factory=Counter)
    by_licence: Counter[str] = field(default_factory=Counter)
    images_looked_for: bool = False
    images_decoded: bool = False
    bad_rows: Findings = field(default_factory=Findings)
    duplicate_ids: Findings = field(default_factory=Findings)
    missing_images: Findings = field(default_factory=Findings)
    refused_images: Findings = field(default_factory=Findings)
    undecodable_images: Findings = field(default_factory=Findings)
    boxes_outside: Findings = field(default_factory=Findings)

    @property
    def findings(self) -> dict[str, Findings]:
        """The kinds of problems, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Findings)}

    @property
    def problems(self) -> int:
        """All problems together."""
        return sum(found.count for found in self.findings.values())

    def to_json(self) -> dict[str, Any]:
        """The report as JSON."""
        report: dict[str, Any] = {"problems": self.problems}
        for name, value in vars(self).items():
            if isinstance(value, Findings):
                report[name] = {"count": value.count, "first": value.first}
            else:
                ordered = isinstance(value, Counter)
                report[name] = dict(sorted(value.items())) if ordered else value
        return report


def check_records(path: Path, images: Path | None = None, *, decode: bool = False) -> Check:
    """Read a file of records to its end and report.

    Args:
        images: root of the images, to look for each; None looks for none.
        decode: also decode each image once, and compare boxes with its size.

    Raises:
        DataError: when the file or the root cannot be read at all; what is wrong inside the file
            is in the report.
    """
    report = Check(str(path))
    looker = None if images is None else _Looker(ImageFolder(images), decode, report)
    if decode and looker is None:
        raise DataError("--decode needs the root of the images; give --images")
    seen: set[str] = set()
    for line, record in scan_records(path):
        if isinstance(record, DataError):
            report.bad_rows.add(str(record))
            continue
        if record.id in seen:
            report.duplicate_ids.add(f"{path}:{line}: id {shown(record.id)} is there before")
        seen.add(record.id)
        _count(record, report)
        if looker is not None:
            looker.look(record, f"{path}:{line}")
    return report


def _count(record: Record, report: Check) -> None:
    report.records += 1
    report.turns += len(record.turns)
    report.answered += sum(bool(turn.answers) for turn in record.turns)
    report.boxes += sum(len(turn.boxes_px_xyxy) for turn in record.turns)
    report.by_dataset[record.dataset] += 1
    report.by_mode[record.mode] += 1
    report.by_licence[record.licence] += 1


class _Looker:
    """Looks for each image once, and remembers sizes of decoded ones."""

    def __init__(self, folder: ImageFolder, decode: bool, report: Check) -> None:
        self._folder = folder
        self._decode = decode
        self._report = report
        self._sizes: dict[str, tuple[int, int] | None] = {}
        report.images_looked_for, report.images_decoded = True, decode

    def look(self, record: Record, where: str) -> None:
        """Check a record's images, and its boxes against the first."""
        for path in record.images:
            if path not in self._sizes:
                self._sizes[path] = self._size(path, where)
                self._report.images += 1
        size = self._sizes[record.images[0]]
        if size is None:
            return
        for turn in record.turns:
            for x1, y1, x2, y2 in turn.boxes_px_xyxy:
                if x1 < 0 or y1 < 0 or x2 > size[0] or y2 > size[1]:
                    self._report.boxes_outside.add(
                        f"{where}: box {x1:g}, {y1:g}, {x2:g}, {y2:g} leaves the image of "
                        f"{size[0]}x{size[1]} px"
                    )

    def _size(self, path: str, where: str) -> tuple[int, int] | None:
        try:
            if not self._decode:
                self._folder.find(path)
                return None
            return self._folder.open(path).size
        except QZoomError as error:
            self._found(error).add(f"{where}: {path}: {error}")
            return None

    def _found(self, error: QZoomError) -> Findings:
        if isinstance(error, MissingImageError):
            return self._report.missing_images
        if isinstance(error, ImageError):
            return self._report.undecodable_images
        return self._report.refused_images
