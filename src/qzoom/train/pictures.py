"""Pictures of a training that cannot be used: left out of their batch, counted, limited."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from qzoom.errors import DataError, ImageError
from qzoom.labels.failures import FailureLimit
from qzoom.train.loader import Batch

Item = TypeVar("Item")
Made = TypeVar("Made")

_LEAST = 100
"""Pictures that the share is taken of at least, so that an early bad one does not end a run."""


@dataclass(frozen=True)
class PictureCounts:
    """Pictures that a micro-batch asked for, how many of them are bad, and why the first one is.

    Of stages that draw their own pictures, none.
    """

    asked: int = 0
    bad: int = 0
    reason: str = ""

    @property
    def none_left(self) -> bool:
        """Whether all are bad, so that there is nothing to learn."""
        return 0 < self.asked == self.bad


def usable(
    items: Sequence[Item], make: Callable[[Item], Made]
) -> tuple[list[Item], list[Made], Batch]:
    """Items whose picture can be used, in order, and what is made of them.

    Args:
        make: Opens the item's picture; a `DataError` or `ImageError` of it leaves the item out.

    Returns:
        items, what was made, and counts that belong into the batch; `pictures_of` reads them.
    """
    kept, made, reasons = [], [], []
    for item in items:
        try:
            found = make(item)
        except (DataError, ImageError) as error:
            reasons.append(str(error))
            continue
        kept.append(item)
        made.append(found)
    counts: Batch = {
        "images": np.array(len(items)),
        "bad_images": np.array(len(reasons)),
        "bad_reason": np.array(reasons[0] if reasons else ""),
    }
    return kept, made, counts


def pictures_of(batch: Batch) -> PictureCounts:
    """The counts that `usable` put into a batch."""
    if "images" not in batch:
        return PictureCounts()
    return PictureCounts(int(batch["images"]), int(batch["bad_images"]), str(batch["bad_reason"]))


def none_left(batch: Batch) -> bool:
    """Whether all pictures of a batch are bad, so that there is nothing to learn from it."""
    return pictures_of(batch).none_left


class PictureTally:
    """Pictures that a training asked for since its beginning, and how many of them were bad."""

    def __init__(self, most_bad: float, asked: int = 0, bad: int = 0) -> None:
        """Go on from counts of an earlier run.

        Raises:
            ConfigError: If `most_bad` is no share.
        """
        self._running, self._final = FailureLimit(most_bad, _LEAST), FailureLimit(most_bad, 1)
        self.asked, self.bad, self._reason = asked, bad, "those before the last stop"

    def add(self, counts: PictureCounts) -> None:
        """Count those of one micro-batch."""
        self.asked += counts.asked
        self.bad += counts.bad
        self._reason = counts.reason or self._reason

    def check(self, *, last: bool) -> None:
        """Hold the training to its limit; `last` if this is its end, so there is no more to come.

        Raises:
            DataError: When the share of bad pictures is above the limit.
        """
        limit = self._final if last else self._running
        if limit.exceeded(self.bad, self.asked):
            raise DataError(
                f"{self.bad} of {self.asked} pictures are bad (limit {limit.share:.0%}), such as: "
                f"{self._reason}; restore them or raise most_bad in the recipe"
            )

    def metrics(self) -> dict[str, int]:
        """Bad pictures since the training began."""
        return {"bad_images": self.bad} if self.asked else {}
