"""Bootstrap intervals of means whose samples come in clusters, such as questions of one picture."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from qzoom.errors import QZoomError

DRAWS: Final = 4000


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval, over `samples` in `clusters`."""

    mean: float
    low: float
    high: float
    samples: int
    clusters: int

    def to_json(self) -> dict[str, Any]:
        """Fields, shares to four digits."""
        return {
            "mean": round(self.mean, 4),
            "interval_95": [round(self.low, 4), round(self.high, 4)],
            "samples": self.samples,
            "clusters": self.clusters,
        }


def clustered_mean(
    values: Sequence[float], clusters: Sequence[Hashable], seed: int = 0
) -> Estimate:
    """Mean of values, whole clusters drawn anew with replacement (percentile bootstrap).

    For a paired comparison give the differences.

    Args:
        clusters: of each value, which cluster it belongs to.

    Raises:
        QZoomError: When there is no value, or the lengths differ.
    """
    if not values or len(values) != len(clusters):
        raise QZoomError(f"{len(values)} values in {len(clusters)} clusters; give one for each")
    places = {name: place for place, name in enumerate(dict.fromkeys(clusters))}
    member: NDArray[np.int64] = np.array([places[name] for name in clusters])
    sums = np.bincount(member, np.asarray(values, float))
    sizes = np.bincount(member).astype(float)
    drawn = np.random.default_rng(seed).integers(0, len(sums), (DRAWS, len(sums)))
    means = sums[drawn].sum(1) / sizes[drawn].sum(1)
    low, high = np.quantile(means, (0.025, 0.975))
    mean = float(sums.sum() / sizes.sum())
    return Estimate(mean, float(low), float(high), len(values), len(sums))
