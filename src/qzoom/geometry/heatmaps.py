"""From a map of probabilities over cells to one box (sec. 3.2, arXiv 2604.06912)."""

import torch
from torch.nn import functional as F

from qzoom.errors import QZoomError
from qzoom.geometry.boxes import Box

# The reference masks corner sinks only on maps of more cells than this.
CORNER_SINK_MIN_CELLS = 256


def gaussian_blur3(map_hw: torch.Tensor, sigma: float = 1.0) -> torch.Tensor:
    """Blur a map with a 3x3 Gaussian; borders are reflected, or repeated along a side of 1 cell.

    Args:
        map_hw: Floating map of shape `(rows, cols)`.
        sigma: Standard deviation of the kernel, in cells.

    Returns:
        The blurred map, of the same shape and dtype.

    Raises:
        QZoomError: If the map is not a non-empty floating matrix, or sigma is not positive.
    """
    _check_map(map_hw)
    if not sigma > 0:
        raise QZoomError(f"sigma must be above 0 cells, got {sigma}")
    offsets = torch.tensor([-1.0, 0.0, 1.0], dtype=map_hw.dtype, device=map_hw.device)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    weights = weights / weights.sum()
    kernel = torch.outer(weights, weights)
    padded = _pad_axis(_pad_axis(map_hw[None, None], axis=-1), axis=-2)
    return F.conv2d(padded, kernel[None, None])[0, 0]


def foreground_box(prob_hw: torch.Tensor, threshold: float) -> Box | None:
    """Return the one box that encloses every cell strictly above a threshold.

    Args:
        prob_hw: Map of shape `(rows, cols)`.
        threshold: Cells must be above this, in the unit of the map.

    Returns:
        The box in cells, or `None` where no cell passes.

    Raises:
        QZoomError: If the map is not a non-empty floating matrix.
    """
    _check_map(prob_hw)
    passed = prob_hw > threshold
    rows = passed.any(dim=1).nonzero().flatten().tolist()
    cols = passed.any(dim=0).nonzero().flatten().tolist()
    if not rows:
        return None
    return Box(cols[0], rows[0], cols[-1] + 1, rows[-1] + 1)


def corner_sink_keep(rows: int, cols: int) -> torch.Tensor:
    """Return the cells to keep under the fixed rule of the Qwen2.5-VL reference.

    On maps of more than 256 cells it drops the top quarter of the first column and the left
    quarter of the first row; smaller maps keep every cell.

    Returns:
        Boolean tensor of shape `(rows, cols)`, `False` on the dropped cells.

    Raises:
        QZoomError: If a side is below 1 cell.
    """
    if min(rows, cols) < 1:
        raise QZoomError(f"a map needs at least 1x1 cells, got {rows}x{cols}")
    keep = torch.ones(rows, cols, dtype=torch.bool)
    if rows * cols > CORNER_SINK_MIN_CELLS:
        keep[: max(1, rows // 4), 0] = False
        keep[0, : max(1, cols // 4)] = False
    return keep


def token0_sink_keep(similarity_hw: torch.Tensor, cutoff: float = 0.75) -> torch.Tensor:
    """Return the cells that token 0 does not treat as attention sinks (Qwen3-VL reference).

    Args:
        similarity_hw: Sigmoid of the score between the query of token 0 and each cell's key,
            of shape `(rows, cols)`.
        cutoff: Cells at or above this are dropped.

    Returns:
        Boolean tensor of shape `(rows, cols)`, `False` on the dropped cells.

    Raises:
        QZoomError: If the map is not a non-empty floating matrix.
    """
    _check_map(similarity_hw)
    return similarity_hw < cutoff


def _pad_axis(batch: torch.Tensor, axis: int) -> torch.Tensor:
    amount = (1, 1, 0, 0) if axis == -1 else (0, 0, 1, 1)
    # One cell has no neighbour to mirror, so it repeats itself.
    mode = "reflect" if batch.shape[axis] > 1 else "replicate"
    return F.pad(batch, amount, mode=mode)


def _check_map(map_hw: torch.Tensor) -> None:
    if map_hw.ndim != 2 or map_hw.numel() == 0 or not map_hw.is_floating_point():
        raise QZoomError(
            f"a map is a non-empty floating tensor of shape (rows, cols), got {map_hw.dtype} of "
            f"shape {tuple(map_hw.shape)}"
        )
