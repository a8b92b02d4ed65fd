"""Pictures of a training that cannot be used: left out of their batch, counted, limited."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from qzoom.errors import DataError, ImageError
from qzoom.labels.failures import FailureLimit
from qzoom.train.loader import Batch
from qzoom.train.prompt_batch import Prompt

Item = TypeVar("Item")

_LEAST = 100
"""Pictures that the share is taken of at least, so that an early bad one does not end a run."""


def usable(
    items: Sequence[Item], make: Callable[[Item], Prompt]
) -> tuple[list[Item], list[Prompt], Batch]:
    """Items whose picture can be used, in order, and their prompts.

    Returns:
        items, their prompts, and counts that belong into the batch; `PictureTally` reads them.
    """
    kept, prompts, reasons = [], [], []
    for item in items:
        try:
            prompt = make(item)
            prompt.pipeline.grid_thw_for_size(prompt.image.size)
        except (DataError, ImageError) as error:
            reasons.append(str(error))
            continue
        kept.append(item)
        prompts.append(prompt)
    counts: Batch = {
        "images": np.array(len(items)),
        "bad_images": np.array(len(reasons)),
        "bad_reason": np.array(reasons[0] if reasons else ""),
    }
    return kept, prompts, counts


class PictureTally:
    """Pictures that a stage's batches asked for, and how many of them were bad.

    Batches without the counts of `usable` are of stages that draw their own pictures.
    """

    def __init__(self, most_bad: float, asked: int = 0, bad: int = 0) -> None:
        """Go on from counts of an earlier run.

        Raises:
            ConfigError: If `most_bad` is no share.
        """
        self._running, self._final = FailureLimit(most_bad, _LEAST), FailureLimit(most_bad, 1)
        self.asked, self.bad, self._reason = asked, bad, "those before the last stop"

    def add(self, batch: Batch, *, last: bool) -> None:
        """Count one batch; `last` is the training's, after which there is nothing to wait for.

        Raises:
            DataError: When the share of bad pictures is above the limit.
        """
        if "images" not in batch:
            return
        self.asked += int(batch["images"])
        self.bad += int(batch["bad_images"])
        limit = self._final if last else self._running
        self._reason = str(batch["bad_reason"]) or self._reason
        if limit.exceeded(self.bad, self.asked):
            raise DataError(
                f"{self.bad} of {self.asked} pictures are bad (limit {limit.share:.0%}), such as: "
                f"{self._reason}; restore them or raise most_bad in the recipe"
            )

    def metrics(self) -> dict[str, int]:
        """Bad pictures since the training began."""
        return {"bad_images": self.bad} if self.asked else {}


def none_left(batch: Batch) -> bool:
    """Whether all pictures of a batch are bad, so that there is nothing to learn from it."""
    return "images" in batch and int(batch["images"]) == int(batch["bad_images"])
