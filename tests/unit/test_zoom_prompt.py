"""Prompt layouts: where cells stand, and what a crop's block does to ids and positions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qzoom.errors import PromptError
from qzoom.geometry.boxes import Box
from qzoom.geometry.positions import positions_for
from qzoom.zoom.prompt import PromptLayout, SpecialIds, lay_out, with_crop

IDS = SpecialIds(image=5, vision_start=3, vision_end=4)
SIDES = st.integers(1, 6)
GRIDS = st.tuples(SIDES, SIDES)


def prompt(*grids: tuple[int, int], tail: tuple[int, ...] = (20, 21, 22)) -> torch.Tensor:
    """Two words, then each image in its block with a word before it, then the tail."""
    ids = [10, 11]
    for rows, cols in grids:
        ids += [12, 3, *[5] * (rows * cols), 4]
    return torch.tensor([*ids, *tail])


def laid_out(*grids: tuple[int, int]) -> PromptLayout:
    return lay_out(prompt(*grids), grids, IDS)


def test_one_image() -> None:
    layout = laid_out((2, 3))
    assert layout.length == 14
    assert layout.source_cells == 6
    assert (layout.image_starts, layout.image_origins) == ((4,), (4,))
    assert layout.prefix_length == 10
    assert layout.head_length == 0
    # The image takes up as many positions as its longer side has cells.
    assert layout.position_ids[:, 10].tolist() == [7, 7, 7]
    assert layout.next_position == 11


def test_text_alone_has_no_prefix() -> None:
    layout = lay_out(torch.tensor([10, 11, 12]), [], IDS)
    assert (layout.prefix_length, layout.source_cells, layout.next_position) == (0, 0, 3)


def test_tokens_and_grids_must_agree() -> None:
    with pytest.raises(PromptError, match="6 image tokens but its 1 image"):
        lay_out(prompt((2, 3)), [(2, 2)], IDS)


@given(st.lists(GRIDS, max_size=3))
def test_cells_and_origins_are_where_they_are_said_to_be(grids: list[tuple[int, int]]) -> None:
    layout = laid_out(*grids)
    expected, following = positions_for(layout.input_ids, IDS.image, grids)
    assert torch.equal(layout.position_ids, expected)
    assert layout.next_position == following
    for start, origin, (rows, cols) in zip(
        layout.image_starts, layout.image_origins, grids, strict=True
    ):
        assert (layout.input_ids[start : start + rows * cols] == IDS.image).all()
        assert layout.input_ids[start - 1] == IDS.vision_start
        assert layout.position_ids[:, start].tolist() == [origin] * 3
    assert not (layout.input_ids[layout.prefix_length :] == IDS.image).any()
    assert layout.prefix_length == 0 or layout.input_ids[layout.prefix_length - 1] == IDS.image


@given(st.lists(GRIDS, min_size=1, max_size=3), GRIDS, st.booleans(), st.data())
def test_a_crop_is_a_block_of_its_own_after_the_last_image(
    grids: list[tuple[int, int]], roi_hw: tuple[int, int], align: bool, data: st.DataObject
) -> None:
    layout = laid_out(*grids)
    index = data.draw(st.integers(0, len(grids) - 1))
    rows, cols = grids[index]
    zoomed = with_crop(layout, index, Box(0, 0, cols, rows), roi_hw, IDS, align=align)
    block = torch.tensor([3, *[5] * (roi_hw[0] * roi_hw[1]), 4])
    at = layout.prefix_length + 1
    assert torch.equal(zoomed.input_ids[at : at + len(block)], block)
    rest = torch.cat([zoomed.input_ids[:at], zoomed.input_ids[at + len(block) :]])
    assert torch.equal(rest, layout.input_ids)
    assert zoomed.head_length == 1 + len(block)
    # Neither prefix nor grids change, so neither does anything computed for them.
    prefix = layout.position_ids[:, : layout.prefix_length]
    assert torch.equal(zoomed.position_ids[:, : layout.prefix_length], prefix.to(torch.float))
    assert (zoomed.prefix_length, zoomed.grids_hw) == (layout.prefix_length, layout.grids_hw)
    # Text goes on where it would after one more image.
    assert zoomed.next_position == layout.next_position + 2 + max(roi_hw)
    tail = zoomed.position_ids[:, at + len(block) :]
    moved = layout.position_ids[:, at:] + 2 + max(roi_hw)
    assert torch.equal(tail, moved.to(tail.dtype))


@given(st.lists(GRIDS, min_size=1, max_size=3))
def test_without_alignment_a_crop_is_one_more_image(grids: list[tuple[int, int]]) -> None:
    layout = laid_out(*grids)
    rows, cols = grids[0]
    zoomed = with_crop(layout, 0, Box(0, 0, cols, rows), (2, 3), IDS, align=False)
    expected, following = positions_for(zoomed.input_ids, IDS.image, [*grids, (2, 3)])
    assert torch.equal(zoomed.position_ids, expected)
    assert zoomed.next_position == following


def test_an_aligned_crop_keeps_the_place_of_the_image_it_was_cut_from() -> None:
    layout = laid_out((4, 4), (3, 6))
    box = Box(2, 1, 5, 3)
    zoomed = with_crop(layout, 1, box, (3, 5), IDS, align=True)
    first = layout.prefix_length + 2
    cells = zoomed.position_ids[:, first : first + 15].view(3, 3, 5)
    # Its second image begins after ten rows of text and an image four cells long.
    origin = layout.image_origins[1]
    assert origin == layout.image_origins[0] + 4 + 3
    assert cells[1, :, 0].tolist() == [origin + 1, origin + 1.5, origin + 2]
    assert cells[2, 0].tolist() == [origin + 2, origin + 2.5, origin + 3, origin + 3.5, origin + 4]
    assert cells[0].unique().tolist() == [float(zoomed.position_ids[0, first - 1]) + 1]
    other = with_crop(layout, 0, Box(0, 0, 4, 4), (4, 4), IDS, align=True)
    same = other.position_ids[1:, first : first + 16]
    start = layout.image_starts[0]
    assert torch.equal(same, layout.position_ids[1:, start : start + 16].float())


def test_an_image_block_that_is_not_closed_gets_the_crop_at_once() -> None:
    layout = lay_out(torch.tensor([10, 3, 5, 5, 20]), [(1, 2)], IDS)
    zoomed = with_crop(layout, 0, Box(0, 0, 2, 1), (1, 1), IDS, align=False)
    assert zoomed.input_ids.tolist() == [10, 3, 5, 5, 3, 5, 4, 20]
    assert zoomed.head_length == 3
