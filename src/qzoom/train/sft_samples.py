"""Samples of the post-SFT training: JSON lines as `qzoom label mine` writes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qzoom.data.fields import items, required, shown, text
from qzoom.data.jsonl import scan_objects
from qzoom.data.paths import relative_path
from qzoom.errors import DataError


@dataclass(frozen=True)
class SftSample:
    """A question, the answer to learn, and the look that goes with it.

    id: for messages; image: path below the image root; target: text of the answer.
    crop_px_xyxy: the crop as the engine reported it, in source pixels; None for a direct look.
    cells: most cells of the picture, and of the crop; None keeps the model's own budget.
    """

    id: str
    image: str
    question: str
    target: str
    crop_px_xyxy: tuple[int, int, int, int] | None = None
    cells: int | None = None


def read_samples(files: Sequence[Path]) -> tuple[SftSample, ...]:
    """All samples of some files, in order; keys that mean nothing here are passed over.

    Raises:
        DataError: For a file, a line or an image path that cannot be used, named by file and line,
            and where there is no sample at all. Whether there is a picture is not looked at.
    """
    samples = tuple(sample for file in files for sample in _samples(file))
    if not samples:
        raise DataError(f"no sample in {' or '.join(map(str, files))}; mine some first")
    return samples


def _samples(file: Path) -> Iterator[SftSample]:
    for line, row in scan_objects(file):
        if isinstance(row, DataError):
            raise row
        try:
            sample = _sample(row)
        except DataError as error:
            raise DataError(f"{file}:{line}: {error}") from None
        yield sample


def _sample(row: dict[str, Any]) -> SftSample:
    texts = {key: text(required(row, key), key) for key in ("id", "image", "question", "target")}
    relative_path(texts["image"], "image")
    box, cells = row.get("box_px_xyxy"), row.get("cells")
    if cells is not None and not (_is_whole(cells) and cells > 0):
        raise DataError(f"cells must be a whole number above 0, got {shown(cells)}")
    return SftSample(**texts, crop_px_xyxy=None if box is None else _box(box), cells=cells)


def _box(value: object) -> tuple[int, int, int, int]:
    edges = items(value, "box_px_xyxy")
    if len(edges) != 4 or not all(map(_is_whole, edges)):
        raise DataError(f"box_px_xyxy must be 4 whole numbers, got {shown(value)}")
    x1, y1, x2, y2 = edges
    if not (0 <= x1 < x2 and 0 <= y1 < y2):
        raise DataError(f"box_px_xyxy {shown(value)} is empty; give x1 < x2 and y1 < y2")
    return x1, y1, x2, y2


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
