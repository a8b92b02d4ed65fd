"""Where things are in a prompt, and what a crop changes.

A prompt is a prefix that ends with the last image cell, which no question can change, and a tail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qzoom.geometry.boxes import Box
from qzoom.geometry.positions import (
    AlignedRegion,
    ImageGrid,
    Segment,
    TextRun,
    positions_of_segments,
    segments_of,
)


@dataclass(frozen=True)
class SpecialIds:
    """Token ids of the vision block."""

    image: int
    vision_start: int
    vision_end: int


@dataclass(frozen=True)
class PromptLayout:
    """One unpadded prompt.

    input_ids: of shape `(n,)`, one image token per cell.
    position_ids: of shape `(3, n)`; float where a crop is aligned.
    next_position: position of the first generated token, the same on the three axes.
    grids_hw: rows and columns of cells of each source image.
    image_starts, image_origins: index and position of each source image's first cell.
    prefix_length: rows up to and with the last source cell; 0 without images.
    head_length: with a crop, rows after the prefix that no question can change; else 0.
    """

    input_ids: Tensor
    position_ids: Tensor
    next_position: int
    grids_hw: tuple[tuple[int, int], ...]
    image_starts: tuple[int, ...]
    image_origins: tuple[int, ...]
    prefix_length: int
    head_length: int = 0

    @property
    def length(self) -> int:
        """Rows of the prompt."""
        return int(self.input_ids.shape[0])

    @property
    def source_cells(self) -> int:
        """Cells of all source images."""
        return sum(rows * cols for rows, cols in self.grids_hw)


def lay_out(
    input_ids: Tensor, grids_hw: Sequence[tuple[int, int]], ids: SpecialIds
) -> PromptLayout:
    """Lay out a prompt.

    Raises:
        PromptError: when image tokens and grids disagree.
    """
    segments = segments_of(input_ids, ids.image, grids_hw)
    positions, following = positions_of_segments(segments)
    starts, row = [], 0
    for segment in segments:
        if isinstance(segment, ImageGrid):
            starts.append(row)
        row += _rows_of(segment)
    grids = tuple((int(rows), int(cols)) for rows, cols in grids_hw)
    last = grids[-1][0] * grids[-1][1] + starts[-1] if starts else 0
    origins = tuple(int(positions[0, start]) for start in starts)
    return PromptLayout(input_ids, positions, following, grids, tuple(starts), origins, last)


def with_crop(
    layout: PromptLayout,
    image_index: int,
    box_cells_xyxy: Box,
    roi_hw: tuple[int, int],
    ids: SpecialIds,
    *,
    align: bool,
) -> PromptLayout:
    """The prompt with a crop's vision block put after the last source image's.

    Args:
        image_index: source image that the box is measured on.
        roi_hw: rows and columns of the crop's own cells.
        align: give crop cells the height and width positions of the cells they cover (eq. 15);
            otherwise those of one more image.
    """
    before, tail = (
        layout.input_ids[: layout.prefix_length],
        layout.input_ids[layout.prefix_length :],
    )
    closing = int(len(tail) > 0 and int(tail[0]) == ids.vision_end)
    rows, cols = roi_hw
    block = torch.tensor(
        [ids.vision_start, *[ids.image] * (rows * cols), ids.vision_end],
        dtype=tail.dtype,
        device=tail.device,
    )
    input_ids = torch.cat([before, tail[:closing], block, tail[closing:]])
    origin = layout.image_origins[image_index]
    region: Segment = ImageGrid(rows, cols)
    if align:
        region = AlignedRegion(rows, cols, origin, box_cells_xyxy)
    segments = segments_of(before, ids.image, layout.grids_hw)
    segments += [TextRun(closing + 1), region, TextRun(1 + len(tail) - closing)]
    positions, following = positions_of_segments(segments)
    return PromptLayout(
        input_ids,
        positions,
        following,
        layout.grids_hw,
        layout.image_starts,
        layout.image_origins,
        layout.prefix_length,
        head_length=closing + rows * cols + 2,
    )


def _rows_of(segment: Segment) -> int:
    return segment.length if isinstance(segment, TextRun) else segment.rows * segment.cols
