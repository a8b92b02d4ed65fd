"""Grids: the resize rule equals that of transformers, and its promises hold."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
    smart_resize as transformers_smart_resize,
)

from qzoom.errors import ConfigError, ImageError
from qzoom.geometry.grids import cells_of, grid_thw_for, smart_resize

SIDES_PX = st.integers(1, 12_000)
FACTORS_PX = st.sampled_from([1, 14, 28, 32])


@st.composite
def budgets(draw: st.DrawFn) -> dict[str, int]:
    least = draw(st.integers(1, 2_000_000))
    return {"min_pixels": least, "max_pixels": least + draw(st.integers(0, 4_000_000))}


@given(SIDES_PX, SIDES_PX, FACTORS_PX, budgets())
def test_equals_transformers(height, width, factor, budget):
    try:
        expected = transformers_smart_resize(height, width, factor=factor, **budget)
    except ValueError:
        with pytest.raises(ImageError, match="aspect ratio"):
            smart_resize(height, width, factor_px=factor, **budget)
        return
    assert smart_resize(height, width, factor_px=factor, **budget) == expected


@given(st.integers(100, 6000), st.integers(100, 6000), st.sampled_from([28, 32]))
def test_keeps_to_the_budget_of_a_usual_image(height, width, factor):
    cell = factor * factor
    high, wide = smart_resize(
        height, width, factor_px=factor, min_pixels=256 * cell, max_pixels=576 * cell
    )
    assert high % factor == wide % factor == 0
    assert high * wide <= 576 * cell
    assert high * wide >= 256 * cell * 0.8


@given(SIDES_PX, SIDES_PX, st.sampled_from([(14, 2), (16, 2), (14, 1)]))
def test_grid_is_whole_cells_of_the_resized_image(height, width, sizes):
    patch, merge = sizes
    if max(height, width) > 200 * min(height, width):
        return
    budget = {"min_pixels": 50_000, "max_pixels": 500_000}
    grid = grid_thw_for(height, width, patch_size_px=patch, merge_size=merge, **budget)
    rows, cols = cells_of(torch.tensor(grid), merge)
    cell = patch * merge
    assert (rows * cell, cols * cell) == smart_resize(height, width, factor_px=cell, **budget)


@pytest.mark.parametrize("size", [(1, 201), (10_000, 1)])
def test_long_images_are_refused(size):
    with pytest.raises(ImageError, match=rf"{size[1]}x{size[0]} px has an aspect ratio"):
        smart_resize(*size, factor_px=28, min_pixels=784, max_pixels=78_400)


def test_empty_images_and_budgets_are_refused():
    with pytest.raises(ImageError, match="5x0 px"):
        smart_resize(0, 5, factor_px=28, min_pixels=784, max_pixels=784)
    with pytest.raises(ConfigError, match="min_pixels=785, max_pixels=784"):
        smart_resize(5, 5, factor_px=28, min_pixels=785, max_pixels=784)
    with pytest.raises(ConfigError, match="factor_px=0"):
        smart_resize(5, 5, factor_px=0, min_pixels=1, max_pixels=784)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ([1, 4], "3 numbers, got 2"),
        ([2, 4, 4], "time extent of 1, got 2"),
        ([1, 4, 5], "4x5 does not divide into 2x2"),
        ([1, 0, 4], "0x4 does not divide"),
    ],
)
def test_bad_grids_are_refused(grid, message):
    with pytest.raises(ImageError, match=message):
        cells_of(grid, 2)
