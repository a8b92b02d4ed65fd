"""Boxes in `x1, y1, x2, y2` order, `x2` and `y2` exclusive, in source cells or source pixels."""

import math
import struct
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from qzoom.errors import QZoomError

BoxLike: TypeAlias = tuple[float, float, float, float]


class Box(NamedTuple):
    """A box of whole cells or whole pixels; the right and lower edges are exclusive."""

    x1: int
    y1: int
    x2: int
    y2: int

    @property
    def width(self) -> int:
        """Width in the unit of the box."""
        return self.x2 - self.x1

    @property
    def height(self) -> int:
        """Height in the unit of the box."""
        return self.y2 - self.y1


def cells_to_pixels(
    box_cells_xyxy: BoxLike,
    grid_hw_cells: tuple[int, int],
    image_size_px: tuple[int, int],
    min_side_px: int = 28,
    *,
    reference_cell_side_px: int | None = None,
) -> Box:
    """Map a box on the grid of cells to the source pixels it shows (sec. 3.2, arXiv 2604.06912).

    The map is proportional, so it absorbs the rounding of the resize. A side shorter than
    `min_side_px` grows by the same amount at both ends, then slides back inside the image.

    The reference scales from pixels of the resized image in single precision, which can cost the
    last row or column: 13 cells of 32 px over 900 px end at 899. To get its very crops give
    `reference_cell_side_px`.

    Args:
        box_cells_xyxy: Box in source cells, inside the grid and not empty.
        grid_hw_cells: Rows and columns of the source grid.
        image_size_px: Width and height of the source image, in pixels.
        min_side_px: Shortest side of the result; an image shorter than this gives its whole side.
        reference_cell_side_px: Side of a cell of the resized image, in pixels; `None` maps exactly.

    Returns:
        The box in source pixels, truncated to whole ones, inside the image and never empty.

    Raises:
        QZoomError: If the box is empty or leaves the grid, or a size is below 1.
    """
    rows, cols = grid_hw_cells
    width_px, height_px = image_size_px
    if min(rows, cols, width_px, height_px, min_side_px) < 1:
        raise QZoomError(
            f"grid {rows}x{cols} cells, image {width_px}x{height_px} px and shortest side "
            f"{min_side_px} px must all be at least 1"
        )
    _check_inside(box_cells_xyxy, (rows, cols), "cells")
    x1, y1, x2, y2 = box_cells_xyxy
    left, right = (_scale(x, width_px, cols, reference_cell_side_px) for x in (x1, x2))
    top, bottom = (_scale(y, height_px, rows, reference_cell_side_px) for y in (y1, y2))
    left_px, right_px = _widen(left, right, width_px, min_side_px)
    top_px, bottom_px = _widen(top, bottom, height_px, min_side_px)
    return Box(left_px, top_px, right_px, bottom_px)


def pixels_to_cells(
    box_px_xyxy: BoxLike, grid_hw_cells: tuple[int, int], image_size_px: tuple[int, int]
) -> Box:
    """Return the smallest box of whole cells that covers a box of source pixels.

    Args:
        box_px_xyxy: Box in source pixels, inside the image and not empty.
        grid_hw_cells: Rows and columns of the source grid.
        image_size_px: Width and height of the source image, in pixels.

    Raises:
        QZoomError: If the box is empty or leaves the image, or a size is below 1.
    """
    rows, cols = grid_hw_cells
    width_px, height_px = image_size_px
    if min(rows, cols, width_px, height_px) < 1:
        raise QZoomError(
            f"grid {rows}x{cols} cells and image {width_px}x{height_px} px must all be at least 1"
        )
    _check_inside(box_px_xyxy, (height_px, width_px), "px")
    x1, y1, x2, y2 = box_px_xyxy
    return Box(
        math.floor(x1 * cols / width_px),
        math.floor(y1 * rows / height_px),
        min(cols, math.ceil(x2 * cols / width_px)),
        min(rows, math.ceil(y2 * rows / height_px)),
    )


def crop_to_cells(
    crop_px_xyxy: Box | tuple[int, int, int, int],
    grid_hw_cells: tuple[int, int],
    image_size_px: tuple[int, int],
    min_side_px: int = 28,
    *,
    reference_cell_side_px: int | None = None,
) -> Box:
    """Return the box of cells that `cells_to_pixels` turned into a crop: its inverse.

    Where several boxes of cells give the same crop (they are shorter than `min_side_px` and lie at
    an edge), the longest one. Along an axis where none does, the crop grows to whole cells.

    Args:
        crop_px_xyxy: Whole source pixels, inside the image and not empty.
        grid_hw_cells, image_size_px, min_side_px, reference_cell_side_px: As `cells_to_pixels`.

    Raises:
        QZoomError: If the crop is empty or leaves the image, or a size is below 1.
    """
    x1, y1, x2, y2 = crop_px_xyxy
    cover = pixels_to_cells(crop_px_xyxy, grid_hw_cells, image_size_px)
    axes = zip(image_size_px, reversed(grid_hw_cells), strict=True)
    (wide, cols), (high, rows) = [
        (size, [_scale(edge, size, count, reference_cell_side_px) for edge in range(count + 1)])
        for size, count in axes
    ]
    left, right = _span_of((x1, x2), (cover.x1, cover.x2), cols, wide, min_side_px)
    top, bottom = _span_of((y1, y2), (cover.y1, cover.y2), rows, high, min_side_px)
    return Box(left, top, right, bottom)


def intersection_over_union(first_xyxy: BoxLike, second_xyxy: BoxLike) -> float:
    """Return the shared area over the joint area, 0.0 to 1.0; both boxes in the same unit.

    Two empty boxes share nothing and give 0.0.
    """
    shared = _shared_area(first_xyxy, second_xyxy)
    joint = _area(first_xyxy) + _area(second_xyxy) - shared
    return shared / joint if joint > 0 else 0.0


def covered_share(outer_xyxy: BoxLike, inner_xyxy: BoxLike) -> float:
    """Return the share of `inner_xyxy` that lies inside `outer_xyxy`, 0.0 to 1.0; same unit.

    An empty inner box gives 0.0.
    """
    area = _area(inner_xyxy)
    return _shared_area(outer_xyxy, inner_xyxy) / area if area > 0 else 0.0


def contains(outer_xyxy: BoxLike, inner_xyxy: BoxLike) -> bool:
    """Say whether `inner_xyxy` lies fully inside `outer_xyxy`; shared edges count as inside."""
    return (
        outer_xyxy[0] <= inner_xyxy[0]
        and outer_xyxy[1] <= inner_xyxy[1]
        and outer_xyxy[2] >= inner_xyxy[2]
        and outer_xyxy[3] >= inner_xyxy[3]
    )


def _shared_area(first_xyxy: BoxLike, second_xyxy: BoxLike) -> float:
    wide = min(first_xyxy[2], second_xyxy[2]) - max(first_xyxy[0], second_xyxy[0])
    high = min(first_xyxy[3], second_xyxy[3]) - max(first_xyxy[1], second_xyxy[1])
    return max(0.0, wide) * max(0.0, high)


def _area(box_xyxy: BoxLike) -> float:
    return max(0.0, box_xyxy[2] - box_xyxy[0]) * max(0.0, box_xyxy[3] - box_xyxy[1])


def _check_inside(box_xyxy: BoxLike, limits_hw: tuple[int, int], unit: str) -> None:
    x1, y1, x2, y2 = box_xyxy
    high, wide = limits_hw
    if not (0 <= x1 < x2 <= wide and 0 <= y1 < y2 <= high):
        raise QZoomError(
            f"box {tuple(box_xyxy)} is empty or leaves 0..{wide} by 0..{high} {unit}; "
            "give x1, y1, x2, y2 with x1 < x2 and y1 < y2 inside it"
        )


def _scale(edge_cells: float, size_px: int, count: int, cell_side_px: int | None) -> float:
    if cell_side_px is None:
        return edge_cells * size_px / count
    ratio = _single(size_px / (count * cell_side_px))
    return _single(_single(edge_cells * cell_side_px) * ratio)


def _single(value: float) -> float:
    """Round to single precision."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


def _widen(start: float, end: float, limit_px: int, min_side_px: int) -> tuple[int, int]:
    """Return the span truncated to pixels, grown to `min_side_px` and kept in 0..limit_px."""
    if end - start < min_side_px:
        centre = (start + end) / 2
        start, end = centre - min_side_px / 2, centre + min_side_px / 2
        if start < 0:
            start, end = 0.0, float(min_side_px)
        if end > limit_px:
            start, end = float(limit_px - min_side_px), float(limit_px)
    return int(max(0.0, start)), int(min(float(limit_px), end))


def _span_of(
    span_px: tuple[int, int],
    cover: tuple[int, int],
    edges_px: Sequence[float],
    limit_px: int,
    min_side_px: int,
) -> tuple[int, int]:
    """Return the longest span of cells within `cover` that shows as `span_px`, or `cover`."""
    first, last = cover
    for length in range(last - first, 0, -1):
        for start in range(first, last - length + 1):
            edges = edges_px[start], edges_px[start + length]
            if _widen(*edges, limit_px, min_side_px) == span_px:
                return start, start + length
    return cover
