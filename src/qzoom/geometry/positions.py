"""Three-axis positions (time, height, width) of text, images and zoomed regions.

A prompt is a walk over segments. Text advances by one per row on all axes; a block of cells
advances by its longer side, whatever positions its cells carry.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import torch

from qzoom.errors import PromptError, QZoomError
from qzoom.geometry.boxes import BoxLike


@dataclass(frozen=True)
class TextRun:
    """Text rows, at least one."""

    length: int


@dataclass(frozen=True)
class ImageGrid:
    """The cells of an image in reading order."""

    rows: int
    cols: int


@dataclass(frozen=True)
class AlignedRegion:
    """The cells of a zoomed region that keep the place they have in their source image.

    `source_origin` is the position of the first source cell, `box_cells_xyxy` the region in source
    cells.
    """

    rows: int
    cols: int
    source_origin: int
    box_cells_xyxy: BoxLike


Segment: TypeAlias = TextRun | ImageGrid | AlignedRegion


def positions_of_segments(segments: Iterable[Segment], start: int = 0) -> tuple[torch.Tensor, int]:
    """Walk over segments and give every row its position.

    Args:
        segments: Text runs, images and regions in prompt order.
        start: Position of the first row.

    Returns:
        Positions of shape `(3, n)`, long, or float32 where a region is aligned; and the position
        of the row that would follow.

    Raises:
        QZoomError: If a segment is empty or a box leaves no cell.
    """
    parts: list[torch.Tensor] = [torch.empty(3, 0, dtype=torch.long)]
    position = start
    for segment in segments:
        part, position = _walk(segment, position)
        parts.append(part)
    return torch.cat(parts, dim=1), position


def text_positions(length: int, start: int) -> torch.Tensor:
    """Return positions of `length` text rows from `start` on, long, of shape `(3, length)`."""
    if length < 1:
        raise QZoomError(f"a run of text needs at least 1 row, got {length}")
    return torch.arange(start, start + length).expand(3, -1).clone()


def image_positions(rows: int, cols: int, start: int) -> torch.Tensor:
    """Return positions of an image of cells, long, of shape `(3, rows * cols)`.

    Cell `(i, j)` has time `start`, height `start + i` and width `start + j`.
    """
    _check_cells(rows, cols)
    return _blend(
        torch.tensor(start), torch.arange(start, start + rows), torch.arange(start, start + cols)
    )


def roi_positions_plain(roi_hw_cells: tuple[int, int], start: int) -> torch.Tensor:
    """Return positions of a zoomed region taken as one more image, long, `(3, rows * cols)`."""
    return image_positions(*roi_hw_cells, start)


def roi_positions_aligned(
    source_origin: int, box_cells_xyxy: BoxLike, roi_hw_cells: tuple[int, int], temporal: int
) -> torch.Tensor:
    """Return positions of a zoomed region over its place in the source (eq. 15, arXiv 2604.06912).

    Height and width run evenly from the first to the last source cell that the region covers, so
    they are fractional. The reference takes time where one more image would have it.

    Args:
        source_origin: Position of the first source cell (the same on the three axes).
        box_cells_xyxy: The region in source cells.
        roi_hw_cells: Rows and columns of the region's own cells.
        temporal: Position of every cell on the time axis.

    Returns:
        Float32 tensor of shape `(3, rows * cols)`.

    Raises:
        QZoomError: If the box or the region is empty.
    """
    rows, cols = roi_hw_cells
    _check_cells(rows, cols)
    x1, y1, x2, y2 = box_cells_xyxy
    if not (x1 < x2 and y1 < y2):
        raise QZoomError(f"box {tuple(box_cells_xyxy)} is empty; give x1 < x2 and y1 < y2")
    heights = torch.linspace(source_origin + y1, source_origin + y2 - 1, rows)
    widths = torch.linspace(source_origin + x1, source_origin + x2 - 1, cols)
    return _blend(torch.tensor(float(temporal)), heights, widths)


def positions_for(
    input_ids: torch.Tensor,
    image_token_id: int,
    grids_hw_cells: Iterable[tuple[int, int]],
    start: int = 0,
) -> tuple[torch.Tensor, int]:
    """Return the positions of one prompt with still images, as Qwen-VL models define them.

    Args:
        input_ids: Unpadded token ids of shape `(n,)`.
        image_token_id: Id that stands for one cell.
        grids_hw_cells: Rows and columns of each image, in prompt order.
        start: Position of the first row.

    Returns:
        Long positions of shape `(3, n)` on the device of `input_ids`, and the next position.

    Raises:
        PromptError: If the image tokens do not match the grids.
    """
    segments = segments_of(input_ids, image_token_id, grids_hw_cells)
    positions, following = positions_of_segments(segments, start)
    return positions.to(input_ids.device), following


def segments_of(
    input_ids: torch.Tensor, image_token_id: int, grids_hw_cells: Iterable[tuple[int, int]]
) -> list[Segment]:
    """Cut one prompt into text runs and images; see `positions_for`."""
    if input_ids.ndim != 1:
        raise PromptError(f"input_ids of one prompt has 1 axis, got shape {tuple(input_ids.shape)}")
    grids = [ImageGrid(rows, cols) for rows, cols in grids_hw_cells]
    visual = input_ids == image_token_id
    _check_totals(int(visual.sum()), grids)
    waiting = iter(enumerate(grids, start=1))
    segments: list[Segment] = []
    values, lengths = torch.unique_consecutive(visual, return_counts=True)
    for is_image, length in zip(values.tolist(), lengths.tolist(), strict=True):
        left = length if is_image else 0
        if not is_image:
            segments.append(TextRun(length))
        while left:
            number, grid = next(waiting)
            if grid.rows * grid.cols > left:
                raise PromptError(
                    f"image {number} has {grid.rows}x{grid.cols} = {grid.rows * grid.cols} cells "
                    f"but only {left} image tokens stand together at its place in the prompt"
                )
            segments.append(grid)
            left -= grid.rows * grid.cols
    return segments


def _walk(segment: Segment, position: int) -> tuple[torch.Tensor, int]:
    if isinstance(segment, TextRun):
        return text_positions(segment.length, position), position + segment.length
    following = position + max(segment.rows, segment.cols)
    if isinstance(segment, ImageGrid):
        return image_positions(segment.rows, segment.cols, position), following
    hw = (segment.rows, segment.cols)
    part = roi_positions_aligned(segment.source_origin, segment.box_cells_xyxy, hw, position)
    return part, following


def _blend(time: torch.Tensor, heights: torch.Tensor, widths: torch.Tensor) -> torch.Tensor:
    rows, cols = len(heights), len(widths)
    return torch.stack(
        [
            time.expand(rows * cols),
            heights.repeat_interleave(cols),
            widths.repeat(rows),
        ]
    )


def _check_cells(rows: int, cols: int) -> None:
    if min(rows, cols) < 1:
        raise QZoomError(f"a block of cells needs at least 1x1, got {rows}x{cols}")


def _check_totals(token_count: int, grids: list[ImageGrid]) -> None:
    for number, grid in enumerate(grids, start=1):
        if min(grid.rows, grid.cols) < 1:
            raise PromptError(f"image {number} has an empty grid of {grid.rows}x{grid.cols} cells")
    cell_count = sum(grid.rows * grid.cols for grid in grids)
    if token_count != cell_count:
        raise PromptError(
            f"the prompt holds {token_count} image tokens but its {len(grids)} image(s) have "
            f"{cell_count} cells; write one image token per cell"
        )
