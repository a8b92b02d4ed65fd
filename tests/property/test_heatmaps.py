"""Heat maps: blur, enclosing box, sink masks."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qzoom.errors import QZoomError
from qzoom.geometry.heatmaps import (
    corner_sink_keep,
    foreground_box,
    gaussian_blur3,
    token0_sink_keep,
)

SIDES = st.integers(1, 24)
SEEDS = st.integers(0, 2**16)


def make_map(rows: int, cols: int, seed: int) -> torch.Tensor:
    return torch.rand(rows, cols, generator=torch.Generator().manual_seed(seed))


def blur_by_hand(values: torch.Tensor, sigma: float) -> torch.Tensor:
    side = math.exp(-0.5 / sigma**2)
    weights = [side / (1 + 2 * side), 1 / (1 + 2 * side), side / (1 + 2 * side)]

    def mirror(index: int, count: int) -> int:
        if count == 1:
            return 0
        return abs(index) if index < count else 2 * (count - 1) - index

    rows, cols = values.shape
    result = torch.zeros(rows, cols, dtype=torch.float64)
    for i in range(rows):
        for j in range(cols):
            result[i, j] = sum(
                weights[a]
                * weights[b]
                * float(values[mirror(i + a - 1, rows), mirror(j + b - 1, cols)])
                for a in range(3)
                for b in range(3)
            )
    return result


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (6, 1), (2, 2), (5, 4)])
@pytest.mark.parametrize("sigma", [0.5, 1.0, 3.0])
def test_blur_equals_the_sum_by_hand(size, sigma):
    values = make_map(*size, seed=1)
    torch.testing.assert_close(gaussian_blur3(values, sigma).double(), blur_by_hand(values, sigma))


@given(SIDES, SIDES, SEEDS)
def test_blur_keeps_shape_and_range_and_commutes_with_flips(rows, cols, seed):
    values = make_map(rows, cols, seed)
    blurred = gaussian_blur3(values)
    assert blurred.shape == values.shape
    assert blurred.min() >= values.min() - 1e-6
    assert blurred.max() <= values.max() + 1e-6
    torch.testing.assert_close(gaussian_blur3(values.flip(0)), blurred.flip(0))
    torch.testing.assert_close(gaussian_blur3(values.T), blurred.T)


@given(SIDES, SIDES, st.floats(0, 1))
def test_blur_leaves_a_flat_map(rows, cols, level):
    flat = torch.full((rows, cols), level)
    torch.testing.assert_close(gaussian_blur3(flat), flat)


@given(SIDES, SIDES, SEEDS, st.floats(0, 1))
def test_box_encloses_exactly_what_passes(rows, cols, seed, threshold):
    values = make_map(rows, cols, seed)
    passed = [(i, j) for i in range(rows) for j in range(cols) if float(values[i, j]) > threshold]
    box = foreground_box(values, threshold)
    if not passed:
        assert box is None
        return
    high, wide = zip(*passed, strict=True)
    assert box == (min(wide), min(high), max(wide) + 1, max(high) + 1)


def test_box_threshold_is_strict():
    values = torch.tensor([[0.5, 0.25]])
    assert foreground_box(values, 0.5) is None
    assert foreground_box(values, 0.25) == (0, 0, 1, 1)


@given(SIDES, SIDES)
def test_corner_rule(rows, cols):
    keep = corner_sink_keep(rows, cols)
    assert keep.shape == (rows, cols)
    if rows * cols <= 256:
        assert keep.all()
        return
    down, along = max(1, rows // 4), max(1, cols // 4)
    assert not keep[:down, 0].any()
    assert not keep[0, :along].any()
    assert int((~keep).sum()) == down + along - 1


def test_corner_rule_on_a_strip():
    assert int((~corner_sink_keep(1, 300)).sum()) == 75
    assert corner_sink_keep(16, 16).all()


def test_token0_rule_drops_at_the_cutoff():
    keep = token0_sink_keep(torch.tensor([[0.74, 0.75, 0.76]]))
    assert keep.tolist() == [[True, False, False]]
    assert token0_sink_keep(torch.tensor([[0.4]]), cutoff=0.3).tolist() == [[False]]


@pytest.mark.parametrize(
    "bad", [torch.zeros(3), torch.zeros(0, 3), torch.zeros(2, 2, dtype=torch.long)]
)
@pytest.mark.parametrize("call", [gaussian_blur3, token0_sink_keep, lambda m: foreground_box(m, 0)])
def test_bad_maps_are_refused(call, bad):
    with pytest.raises(QZoomError, match="non-empty floating tensor"):
        call(bad)


def test_bad_numbers_are_refused():
    with pytest.raises(QZoomError, match="sigma must be above 0"):
        gaussian_blur3(torch.zeros(2, 2), sigma=0)
    with pytest.raises(QZoomError, match="got 0x4"):
        corner_sink_keep(0, 4)
