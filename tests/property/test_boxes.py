"""Boxes: cells to pixels and back, overlap, containment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qzoom.errors import QZoomError
from qzoom.geometry.boxes import (
    Box,
    cells_to_pixels,
    contains,
    covered_share,
    crop_to_cells,
    intersection_over_union,
    pixels_to_cells,
)

SIDES_PX = st.integers(1, 3000)
MIN_SIDES_PX = st.integers(1, 64)
CELL_SIDES_PX = st.sampled_from([None, 14, 28, 32])


@st.composite
def boxes_on_grids(draw: st.DrawFn) -> tuple[Box, tuple[int, int]]:
    rows, cols = draw(st.integers(1, 64)), draw(st.integers(1, 64))
    x1, y1 = draw(st.integers(0, cols - 1)), draw(st.integers(0, rows - 1))
    x2, y2 = draw(st.integers(x1 + 1, cols)), draw(st.integers(y1 + 1, rows))
    return Box(x1, y1, x2, y2), (rows, cols)


@given(boxes_on_grids(), SIDES_PX, SIDES_PX, MIN_SIDES_PX, CELL_SIDES_PX)
def test_pixels_lie_inside_and_have_the_least_side(drawn, width, height, least, cell_side):
    box, grid = drawn
    found = cells_to_pixels(box, grid, (width, height), least, reference_cell_side_px=cell_side)
    assert contains((0, 0, width, height), found)
    assert found.width >= min(least, width)
    assert found.height >= min(least, height)
    assert all(isinstance(edge, int) for edge in found)


@given(boxes_on_grids(), SIDES_PX, SIDES_PX, MIN_SIDES_PX)
def test_pixels_cover_the_cells_but_for_truncation(drawn, width, height, least):
    (x1, y1, x2, y2), (rows, cols) = drawn
    found = cells_to_pixels((x1, y1, x2, y2), (rows, cols), (width, height), least)
    assert found.x1 <= x1 * width / cols + 1e-6
    assert found.y1 <= y1 * height / rows + 1e-6
    assert found.x2 > x2 * width / cols - 1
    assert found.y2 > y2 * height / rows - 1


@given(boxes_on_grids(), st.integers(1, 40), MIN_SIDES_PX)
def test_a_wide_enough_box_maps_proportionally(drawn, scale, least):
    box, (rows, cols) = drawn
    found = cells_to_pixels(box, (rows, cols), (cols * scale, rows * scale), least)
    wide, high = box.width * scale, box.height * scale
    if wide >= least:
        assert (found.x1, found.x2) == (box.x1 * scale, box.x2 * scale)
    if high >= least:
        assert (found.y1, found.y2) == (box.y1 * scale, box.y2 * scale)


@given(boxes_on_grids(), st.integers(1, 40))
def test_cells_to_pixels_and_back(drawn, scale):
    box, (rows, cols) = drawn
    size = (cols * scale, rows * scale)
    assert pixels_to_cells(cells_to_pixels(box, (rows, cols), size, 1), (rows, cols), size) == box


@given(boxes_on_grids(), SIDES_PX, SIDES_PX)
def test_cells_of_pixels_cover_the_pixels(drawn, width, height):
    box, (rows, cols) = drawn
    pixels = cells_to_pixels(box, (rows, cols), (width, height), 1)
    cells = pixels_to_cells(pixels, (rows, cols), (width, height))
    back = (
        cells.x1 * width / cols,
        cells.y1 * height / rows,
        cells.x2 * width / cols,
        cells.y2 * height / rows,
    )
    assert contains((0, 0, cols, rows), cells)
    assert contains(tuple(round(edge, 6) for edge in back), pixels)


@given(boxes_on_grids(), boxes_on_grids())
def test_overlap_is_symmetric_and_bounded(first, second):
    overlap = intersection_over_union(first[0], second[0])
    assert overlap == intersection_over_union(second[0], first[0])
    assert 0 <= overlap <= 1
    assert (overlap == 1) == (first[0] == second[0])


def test_overlap_by_hand():
    assert intersection_over_union((0, 0, 2, 2), (1, 1, 3, 3)) == pytest.approx(1 / 7)
    assert intersection_over_union((0, 0, 2, 2), (2, 0, 4, 2)) == 0
    assert intersection_over_union((1, 1, 1, 1), (1, 1, 1, 1)) == 0


def test_short_sides_grow_about_the_centre_and_slide_inside():
    grid, size = (10, 10), (100, 100)
    assert cells_to_pixels((5, 5, 6, 6), grid, size) == (41, 41, 69, 69)
    assert cells_to_pixels((0, 9, 1, 10), grid, size) == (0, 72, 28, 100)
    assert cells_to_pixels((0, 0, 10, 1), grid, size) == (0, 0, 100, 28)


def test_an_image_below_the_least_side_gives_its_whole_extent():
    assert cells_to_pixels((1, 1, 2, 2), (4, 4), (20, 9)) == (0, 0, 20, 9)
    assert cells_to_pixels((3, 0, 4, 1), (4, 4), (1, 400)) == (0, 0, 1, 100)


def test_the_reference_scales_in_single_precision():
    box, grid, size = (0, 0, 13, 4), (4, 13), (900, 300)
    assert cells_to_pixels(box, grid, size) == (0, 0, 900, 300)
    assert cells_to_pixels(box, grid, size, reference_cell_side_px=28) == (0, 0, 900, 300)
    assert cells_to_pixels(box, grid, size, reference_cell_side_px=32) == (0, 0, 899, 300)


@pytest.mark.parametrize("box", [(0, 0, 0, 1), (0, 2, 1, 1), (-1, 0, 1, 1), (0, 0, 5, 1)])
def test_bad_boxes_are_refused(box):
    with pytest.raises(QZoomError, match=r"empty or leaves 0\.\.4 by 0\.\.3 cells"):
        cells_to_pixels(box, (3, 4), (100, 100))
    with pytest.raises(QZoomError, match=r"empty or leaves 0\.\.4 by 0\.\.3 px"):
        pixels_to_cells(box, (9, 9), (4, 3))


def test_bad_sizes_are_refused():
    with pytest.raises(QZoomError, match="at least 1"):
        cells_to_pixels((0, 0, 1, 1), (1, 1), (0, 5))
    with pytest.raises(QZoomError, match="at least 1"):
        pixels_to_cells((0, 0, 1, 1), (0, 1), (5, 5))


@given(boxes_on_grids(), SIDES_PX, SIDES_PX, MIN_SIDES_PX, CELL_SIDES_PX)
def test_the_cells_of_a_crop_give_that_crop(drawn, width, height, least, cell_side):
    box, grid = drawn
    how = {"reference_cell_side_px": cell_side}
    crop = cells_to_pixels(box, grid, (width, height), least, **how)
    found = crop_to_cells(crop, grid, (width, height), least, **how)
    smallest = min(width / grid[1], height / grid[0])
    if smallest >= max(least, 2):
        assert found == box
    elif smallest >= 2:
        assert cells_to_pixels(found, grid, (width, height), least, **how) == crop
    assert contains(pixels_to_cells(crop, grid, (width, height)), found)


def test_a_crop_that_no_cells_give_grows_to_whole_cells():
    assert crop_to_cells((31, 10, 61, 40), (4, 10), (300, 120)) == (1, 0, 3, 2)
    assert crop_to_cells((30, 10, 60, 40), (4, 10), (300, 120)) == (1, 0, 2, 2)
    with pytest.raises(QZoomError, match="leaves"):
        crop_to_cells((30, 10, 400, 40), (4, 10), (300, 120))


@pytest.mark.parametrize(
    ("outer", "inner", "share"),
    [
        ((0, 0, 10, 10), (2, 2, 4, 4), 1.0),
        ((0, 0, 10, 10), (5, 0, 15, 10), 0.5),
        ((0, 0, 10, 10), (5, 5, 15, 15), 0.25),
        ((0, 0, 10, 10), (10, 0, 20, 10), 0.0),
        ((0, 0, 10, 10), (3, 3, 3, 5), 0.0),
    ],
)
def test_share_of_a_box_that_is_covered(outer, inner, share):
    assert covered_share(outer, inner) == share
