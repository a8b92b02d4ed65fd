"""Bootstrap intervals against what theory says, and why clusters matter."""

import math
from random import Random

import pytest

from qzoom.errors import QZoomError
from qzoom.eval import bootstrap
from qzoom.eval.bootstrap import clustered_mean


def test_the_interval_is_that_of_a_mean_when_clusters_hold_one() -> None:
    rng = Random("means")
    values = [float(rng.random() < 0.3) for _ in range(1000)]
    found = clustered_mean(values, range(1000))
    mean = sum(values) / 1000
    half = 1.96 * math.sqrt(mean * (1 - mean) / 1000)
    assert found.mean == pytest.approx(mean)
    assert found.low == pytest.approx(mean - half, abs=0.003)
    assert found.high == pytest.approx(mean + half, abs=0.003)
    assert found == clustered_mean(values, range(1000))


def test_equal_answers_within_a_picture_widen_it() -> None:
    rng = Random("clusters")
    pictures = [float(rng.random() < 0.5) for _ in range(100)]
    values = [value for value in pictures for _ in range(10)]
    clusters = [place for place in range(100) for _ in range(10)]
    apart = clustered_mean(values, range(1000))
    together = clustered_mean(values, clusters)
    assert (together.samples, together.clusters) == (1000, 100)
    ratio = (together.high - together.low) / (apart.high - apart.low)
    assert ratio == pytest.approx(math.sqrt(10), rel=0.1)


def test_draws_in_blocks_are_the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0]
    whole = clustered_mean(values, range(7))
    monkeypatch.setattr(bootstrap, "_BLOCK", 23)
    assert clustered_mean(values, range(7)) == whole


def test_nothing_has_no_mean() -> None:
    with pytest.raises(QZoomError, match="0 values in 0 clusters"):
        clustered_mean([], [])
    with pytest.raises(QZoomError, match="2 values in 1 clusters"):
        clustered_mean([1.0, 0.0], ["a"])
