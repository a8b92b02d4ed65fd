"""From image size and pixel budget to patch grid and cell grid (the Qwen-VL resize rule)."""

import math
from collections.abc import Sequence

import torch

from qzoom.errors import ConfigError, ImageError

MAX_ASPECT_RATIO = 200


def smart_resize(
    height_px: int, width_px: int, *, factor_px: int, min_pixels: int, max_pixels: int
) -> tuple[int, int]:
    """Return the size an image is resized to, as Qwen's image processors choose it.

    Both sides become multiples of `factor_px` and the area is brought into
    `min_pixels`..`max_pixels` with the aspect ratio kept as far as those multiples allow. A very
    long image keeps one factor on its short side and may then exceed `max_pixels`.

    Args:
        height_px: Height of the image, in pixels.
        width_px: Width of the image, in pixels.
        factor_px: Side of a cell, in pixels (patch size times merge size).
        min_pixels: Least area, in pixels.
        max_pixels: Greatest area, in pixels.

    Returns:
        Height and width, in pixels.

    Raises:
        ImageError: If a side is below 1 or the sides differ by more than a factor of 200.
        ConfigError: If the budget is empty or the factor is below 1.
    """
    _check_sizes(height_px, width_px, factor_px, min_pixels, max_pixels)
    new_height = round(height_px / factor_px) * factor_px
    new_width = round(width_px / factor_px) * factor_px
    if new_height * new_width > max_pixels:
        shrink = math.sqrt((height_px * width_px) / max_pixels)
        new_height = max(factor_px, math.floor(height_px / shrink / factor_px) * factor_px)
        new_width = max(factor_px, math.floor(width_px / shrink / factor_px) * factor_px)
    elif new_height * new_width < min_pixels:
        grow = math.sqrt(min_pixels / (height_px * width_px))
        new_height = math.ceil(height_px * grow / factor_px) * factor_px
        new_width = math.ceil(width_px * grow / factor_px) * factor_px
    return new_height, new_width


def grid_thw_for(
    height_px: int,
    width_px: int,
    *,
    patch_size_px: int,
    merge_size: int,
    min_pixels: int,
    max_pixels: int,
) -> tuple[int, int, int]:
    """Return `(1, rows, columns)` of the patch grid of a still image; see `smart_resize`."""
    new_height, new_width = smart_resize(
        height_px,
        width_px,
        factor_px=patch_size_px * merge_size,
        min_pixels=min_pixels,
        max_pixels=max_pixels,
    )
    return 1, new_height // patch_size_px, new_width // patch_size_px


def cells_of(image_grid_thw: torch.Tensor | Sequence[int], merge_size: int) -> tuple[int, int]:
    """Return rows and columns of cells (visual tokens) of one image.

    Args:
        image_grid_thw: Time, rows and columns of its patch grid, of shape `(3,)`.
        merge_size: Patches per side of a cell.

    Raises:
        ImageError: If it is not three numbers, not a still image, or not whole cells.
    """
    numbers = [int(number) for number in image_grid_thw]
    if len(numbers) != 3:
        raise ImageError(f"image_grid_thw of one image has 3 numbers, got {len(numbers)}")
    time, high, wide = numbers
    if time != 1:
        raise ImageError(f"a still image has a time extent of 1, got {time}; video is not read")
    if min(high, wide) < 1 or high % merge_size or wide % merge_size:
        raise ImageError(f"patch grid {high}x{wide} does not divide into {merge_size}x{merge_size}")
    return high // merge_size, wide // merge_size


def _check_sizes(
    height_px: int, width_px: int, factor_px: int, min_pixels: int, max_pixels: int
) -> None:
    if factor_px < 1 or not 0 < min_pixels <= max_pixels:
        raise ConfigError(
            f"need factor_px >= 1 and 0 < min_pixels <= max_pixels, got factor_px={factor_px}, "
            f"min_pixels={min_pixels}, max_pixels={max_pixels}"
        )
    if min(height_px, width_px) < 1:
        raise ImageError(f"an image needs at least 1x1 px, got {width_px}x{height_px} px")
    ratio = max(height_px, width_px) / min(height_px, width_px)
    if ratio > MAX_ASPECT_RATIO:
        raise ImageError(
            f"image of {width_px}x{height_px} px has an aspect ratio of {ratio:.0f}, the limit is "
            f"{MAX_ASPECT_RATIO}; crop or pad it first"
        )
