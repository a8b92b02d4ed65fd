"""Positions: equal to transformers for image prompts, and the aligned region by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qzoom.errors import PromptError, QZoomError
from qzoom.geometry.positions import (
    AlignedRegion,
    ImageGrid,
    TextRun,
    positions_for,
    positions_of_segments,
    roi_positions_aligned,
    roi_positions_plain,
    segments_of,
    text_positions,
)

IMAGE = 5
GRIDS = st.tuples(st.integers(1, 9), st.integers(1, 9))


@pytest.fixture(scope="module")
def rope_index():
    """The position rule of transformers, on a model without weights."""
    from transformers import Qwen2_5_VLConfig
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLModel

    class Holder:
        config = Qwen2_5_VLConfig()
        get_vision_position_ids = Qwen2_5_VLModel.get_vision_position_ids
        get_rope_index = Qwen2_5_VLModel.get_rope_index

    return Holder().get_rope_index


@st.composite
def prompts(draw: st.DrawFn) -> tuple[torch.Tensor, list[tuple[int, int]]]:
    """Images with at least one text row between them, as chat templates write them."""
    grids = draw(st.lists(GRIDS, max_size=4))
    ids = [1] * draw(st.integers(0 if grids else 1, 6))
    for rows, cols in grids:
        ids += [IMAGE] * (rows * cols) + [1] * draw(st.integers(1, 6))
    return torch.tensor(ids), grids


@settings(max_examples=60)
@given(prompts())
def test_equals_transformers(rope_index, prompt):
    ids, grids = prompt
    patches = torch.tensor([[1, 2 * rows, 2 * cols] for rows, cols in grids]).reshape(-1, 3)
    expected, delta = rope_index(
        ids[None], mm_token_type_ids=(ids == IMAGE).int()[None], image_grid_thw=patches
    )
    positions, following = positions_for(ids, IMAGE, grids)
    assert torch.equal(positions, expected[:, 0])
    assert following == len(ids) + int(delta)


@given(prompts(), st.integers(0, 1000))
def test_start_shifts_everything(prompt, start):
    ids, grids = prompt
    base, following = positions_for(ids, IMAGE, grids)
    moved, moved_following = positions_for(ids, IMAGE, grids, start)
    assert torch.equal(moved, base + start)
    assert moved_following == following + start


@given(GRIDS, GRIDS, st.integers(0, 50))
def test_two_images_may_stand_together(first, second, start):
    count = first[0] * first[1] + second[0] * second[1]
    ids = torch.full((count,), IMAGE)
    positions, following = positions_for(ids, IMAGE, [first, second], start)
    assert positions.shape == (3, count)
    assert following == start + max(first) + max(second)


def test_worked_example_of_an_aligned_region():
    segments = [
        TextRun(15),
        ImageGrid(4, 6),
        TextRun(2),
        AlignedRegion(6, 8, source_origin=15, box_cells_xyxy=(1, 1, 4, 3)),
        TextRun(2),
    ]
    positions, following = positions_of_segments(segments)
    source = positions[:, 15:39]
    assert source[0].unique().tolist() == [15]
    assert source[1].unique().tolist() == [15, 16, 17, 18]
    assert source[2].unique().tolist() == [15, 16, 17, 18, 19, 20]
    assert positions[:, 39:41].tolist() == [[21, 22]] * 3
    region = positions[:, 41:89].reshape(3, 6, 8)
    assert region[0].unique().tolist() == [23]
    torch.testing.assert_close(region[1][:, 0], torch.linspace(16, 17, 6))
    torch.testing.assert_close(region[2][0], torch.linspace(16, 18, 8))
    assert (region[1] == region[1][:, :1]).all()
    assert (region[2] == region[2][:1]).all()
    assert positions[:, 89:].tolist() == [[31, 32]] * 3
    assert following == 33


@given(GRIDS, st.integers(0, 40), st.integers(0, 99))
def test_an_aligned_region_of_the_whole_source_at_its_size_is_the_source(grid, origin, temporal):
    rows, cols = grid
    found = roi_positions_aligned(origin, (0, 0, cols, rows), grid, temporal)
    assert found[0].eq(temporal).all()
    torch.testing.assert_close(found[1:], roi_positions_plain(grid, origin)[1:].float())


@given(GRIDS, GRIDS, st.integers(0, 40))
def test_an_aligned_region_stays_on_the_cells_it_covers(corner, size, origin):
    x1, y1 = corner
    x2, y2 = x1 + size[1], y1 + size[0]
    found = roi_positions_aligned(origin, (x1, y1, x2, y2), (7, 5), 0)
    assert float(found[1].min()) == pytest.approx(origin + y1)
    assert float(found[2].min()) == pytest.approx(origin + x1)
    assert float(found[1].max()) == pytest.approx(origin + y2 - 1)
    assert float(found[2].max()) == pytest.approx(origin + x2 - 1)


def test_no_segment_gives_no_row():
    positions, following = positions_of_segments([], start=7)
    assert positions.shape == (3, 0)
    assert following == 7


def test_segments_alternate():
    ids = torch.tensor([1, 1, IMAGE, IMAGE, 2])
    assert segments_of(ids, IMAGE, [(1, 2)]) == [TextRun(2), ImageGrid(1, 2), TextRun(1)]


@pytest.mark.parametrize(
    ("ids", "grids", "message"),
    [
        ([1, 5, 5, 1], [(1, 3)], "holds 2 image tokens but its 1 image.s. have 3 cells"),
        ([1, 5], [], "holds 1 image tokens but its 0 image.s. have 0 cells"),
        ([5, 1, 5, 5], [(1, 2), (1, 1)], "image 1 has 1x2 = 2 cells but only 1 image tokens"),
        ([1], [(0, 2)], "image 1 has an empty grid of 0x2 cells"),
    ],
)
def test_prompts_that_do_not_fit_are_refused(ids, grids, message):
    with pytest.raises(PromptError, match=message):
        positions_for(torch.tensor(ids), IMAGE, grids)


def test_bad_arguments_are_refused():
    with pytest.raises(PromptError, match=r"shape \(1, 3\)"):
        positions_for(torch.ones(1, 3), IMAGE, [])
    with pytest.raises(QZoomError, match="at least 1 row, got 0"):
        text_positions(0, 3)
    with pytest.raises(QZoomError, match="at least 1x1, got 0x4"):
        roi_positions_plain((0, 4), 3)
    with pytest.raises(QZoomError, match="is empty"):
        roi_positions_aligned(0, (2, 0, 2, 1), (1, 1), 3)
