"""Questions of records, one at a time, as every labelling stage takes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from qzoom.data.images import ImageFolder
from qzoom.data.records import Mode, PixelBox, Record
from qzoom.errors import LabelError


@dataclass(frozen=True)
class PoolQuestion:
    """One turn of a record.

    id: the record's, with `#turn` where it has several; image: path of the first image as the
    record names it; ground_truths: texts of which any is right; boxes_px_xyxy: where in the first
    image the answer is, in its pixels.
    """

    id: str
    image: str
    question: str
    ground_truths: tuple[str, ...]
    mode: Mode
    boxes_px_xyxy: tuple[PixelBox, ...]
    folder: ImageFolder

    @property
    def images(self) -> tuple[Path]:
        """The first image's file: later ones are not part of the published recipe.

        Raises:
            DataError: When it is missing or lies outside its root.
        """
        return (self.folder.find(self.image),)


@dataclass(frozen=True)
class QuestionPool:
    """The questions of records in order; gone through as often as the records can be.

    Args:
        records: Anything that starts anew when iterated, such as `RecordFile`.
        folder: Root of the records' images.
        answered: Leave out questions whose answer is not known.
        limit: Questions at most, the first ones; None for all.

    Raises:
        LabelError: For a one-way iterator: every stage goes through its pool more than once.
    """

    records: Iterable[Record]
    folder: ImageFolder
    answered: bool = False
    limit: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.records, Iterator):
            raise LabelError("a pool is gone through more than once; give a list or a RecordFile")

    def __iter__(self) -> Iterator[PoolQuestion]:
        return islice(self._questions(), self.limit)

    def count(self) -> int:
        """Questions there are; goes through the records once."""
        return sum(1 for _ in self)

    def _questions(self) -> Iterator[PoolQuestion]:
        for record in self.records:
            for turn, asked in enumerate(record.turns):
                if self.answered and not asked.answers:
                    continue
                yield PoolQuestion(
                    turn_id(record, turn),
                    record.images[0],
                    asked.question,
                    tuple(dict.fromkeys(asked.answers)),
                    record.mode,
                    asked.boxes_px_xyxy,
                    self.folder,
                )


def turn_id(record: Record, turn: int) -> str:
    """Id of one of a record's questions: the record's own where it has only one."""
    return record.id if len(record.turns) == 1 else f"{record.id}#{turn}"
