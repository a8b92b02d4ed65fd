"""What the micro-batches of a step report, and the one loss that comes of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from qzoom.errors import QZoomError
from qzoom.train.loader import Batch
from qzoom.train.pictures import PictureCounts

WEIGHT: Final = "loss_weight"
"""Key of a batch: of how many equal parts (cells, samples) its loss is the mean; 1 where absent."""
SAMPLES: Final = "sample_ids"
"""Key of a batch: names of its samples, strings, for messages."""
_SHOWN: Final = 8


@dataclass(frozen=True)
class MicroReport:
    """One micro-batch.

    place: where it is in the training's sequence.
    loss: mean over `weight` equal parts.
    pictures: what it asked for and what was bad.
    """

    place: int
    loss: float
    weight: float
    metrics: Mapping[str, float]
    samples: tuple[str, ...] = ()
    pictures: PictureCounts = field(default_factory=PictureCounts)


@dataclass(frozen=True)
class StepReport:
    """All micro-batches of a step, in order, from whichever processes they ran on."""

    name: str
    step: int
    micro: Sequence[MicroReport]

    @property
    def weight(self) -> float:
        """Equal parts of the whole step."""
        return sum(each.weight for each in self.micro)

    @property
    def gradient_scale(self) -> float:
        """What makes the sum of weighted gradients that of the step's mean loss."""
        return 1.0 / self.weight if self.weight else 1.0

    def metrics(self, gradient_norm: float) -> dict[str, float]:
        """The step's loss (mean over all equal parts), then plain means over its micro-batches."""
        total = sum(each.loss * each.weight for each in self.micro if each.weight)
        found: dict[str, list[float]] = {}
        for each in self.micro:
            for key, value in each.metrics.items():
                if math.isfinite(value):
                    found.setdefault(key, []).append(value)
        means = {key: sum(values) / len(values) for key, values in found.items()}
        loss = total * self.gradient_scale
        return {"loss": loss, "gradient_norm": gradient_norm, **means}

    def check_losses(self) -> None:
        """Refuse losses that are not finite.

        Raises:
            QZoomError: naming the step and the samples of the micro-batches concerned.
        """
        bad = [each for each in self.micro if not math.isfinite(each.loss)]
        if bad:
            self._refuse(f"loss is {bad[0].loss}", bad)

    def check_gradient(self, norm: float) -> None:
        """Refuse a gradient that is not finite.

        Raises:
            QZoomError: naming the step and its samples.
        """
        if not math.isfinite(norm):
            self._refuse(f"the gradient's norm is {norm}", self.micro)

    def _refuse(self, what: str, micro: Iterable[MicroReport]) -> None:
        samples = [name for each in micro for name in each.samples]
        more = f" and {len(samples) - _SHOWN} more" if len(samples) > _SHOWN else ""
        named = f" (samples {', '.join(samples[:_SHOWN])}{more})" if samples else ""
        raise QZoomError(f"{self.name}: {what} at step {self.step}{named}; the last state is kept")


def weight_of(batch: Batch) -> float:
    """Equal parts that the batch's loss is the mean of."""
    return float(batch[WEIGHT]) if WEIGHT in batch else 1.0


def samples_of(batch: Batch) -> tuple[str, ...]:
    """Names of the batch's samples; none where the stage gives none."""
    return tuple(map(str, batch[SAMPLES])) if SAMPLES in batch else ()
