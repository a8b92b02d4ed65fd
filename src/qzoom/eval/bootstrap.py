"""Bootstrap intervals of means whose samples come in clusters, such as questions of one picture."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from qzoom.errors import QZoomError

DRAWS: Final = 4000
_BLOCK: Final = 1 << 21
"""Clusters drawn at once, so that large benchmarks do not fill the memory."""


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
    return clustered_ratio(values, [1.0] * len(values), clusters, seed)


def clustered_ratio(
    over: Sequence[float], under: Sequence[float], clusters: Sequence[Hashable], seed: int = 0
) -> Estimate:
    """Ratio of two sums over the same samples, such as one method's seconds over another's.

    Args:
        over, under: a value of each sample; `under` is above 0.
        clusters: of each sample, which cluster it belongs to.

    Raises:
        QZoomError: When there is no sample, or the lengths differ.
    """
    over_sums, under_sums = _sums(over, clusters), _sums(under, clusters)
    ratios = _drawn_ratios(over_sums, under_sums, seed)
    low, high = np.quantile(ratios, (0.025, 0.975))
    mean = float(over_sums.sum() / under_sums.sum())
    return Estimate(mean, float(low), float(high), len(over), len(over_sums))


def bootstrap_p(differences: Sequence[float], clusters: Sequence[Hashable], seed: int = 0) -> float:
    """Two-sided p-value of a mean difference of 0, from the draws behind `clustered_mean`.

    About 0.05 where that interval just leaves 0 out, and at least 2 / (DRAWS + 1).

    Raises:
        QZoomError: When there is no value, or the lengths differ.
    """
    sums = _sums(differences, clusters)
    means = _drawn_ratios(sums, _sums([1.0] * len(differences), clusters), seed)
    rarer = min(int((means <= 0).sum()), int((means >= 0).sum()))
    return min(1.0, 2 * (rarer + 1) / (DRAWS + 1))


def sign_test_p(differences: Sequence[float], clusters: Sequence[Hashable]) -> float:
    """Exact two-sided sign test: clusters whose sum is above 0 against those below; ties drop out.

    Raises:
        QZoomError: When there is no value, or the lengths differ.
    """
    sums = _sums(differences, clusters)
    above, below = int((sums > 0).sum()), int((sums < 0).sum())
    tail = sum(math.comb(above + below, k) for k in range(min(above, below) + 1))
    return min(1.0, 2 * tail / (1 << (above + below)))


def _sums(values: Sequence[float], clusters: Sequence[Hashable]) -> NDArray[np.float64]:
    """Sum of each cluster."""
    if not values or len(values) != len(clusters):
        raise QZoomError(f"{len(values)} values in {len(clusters)} clusters; give one for each")
    places = {name: place for place, name in enumerate(dict.fromkeys(clusters))}
    member: NDArray[np.int64] = np.array([places[name] for name in clusters])
    return np.bincount(member, np.asarray(values, float)).astype(float)


def _drawn_ratios(
    over_sums: NDArray[np.float64], under_sums: NDArray[np.float64], seed: int
) -> NDArray[np.float64]:
    """Ratio of the sums of each draw of clusters."""
    clusters, rng = len(over_sums), np.random.default_rng(seed)
    ratios: NDArray[np.float64] = np.empty(DRAWS)
    step = max(1, _BLOCK // clusters)
    for first in range(0, DRAWS, step):
        block = ratios[first : first + step]
        drawn = rng.integers(0, clusters, (len(block), clusters))
        block[:] = over_sums[drawn].sum(1) / under_sums[drawn].sum(1)
    return ratios
