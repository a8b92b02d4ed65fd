"""Attention maps to labels of cells: foreground, background or left out (eq. 12)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from qzoom.errors import ConfigError, QZoomError
from qzoom.geometry.boxes import Box
from qzoom.geometry.heatmaps import foreground_box

IGNORE: Final = -100
"""Label of a cell that no loss counts."""


@dataclass(frozen=True)
class TriStateRule:
    """Thresholds of the labels; the defaults are those of the reference's training scripts.

    Args:
        foreground_threshold: A cell above this share of the peak is foreground.
        background_threshold: A cell outside the foreground's box and below this share of the peak
            is background.
        sink_threshold: A cell with at least this sink attention is an attention sink.
        min_peak: Samples whose peak is lower teach nothing.
        max_box_share: Nor do samples whose box covers this share of the map, or more.

    Raises:
        ConfigError: If a threshold is negative or not finite.
    """

    foreground_threshold: float = 0.25
    background_threshold: float = 0.05
    sink_threshold: float = 1e-2
    min_peak: float = 5e-3
    max_box_share: float = 0.5

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"{name} must be a number of at least 0, got {value!r}")


@dataclass(frozen=True)
class TriState:
    """Labels of one map.

    labels_hw: int64 of shape `(rows, cols)`: 1 foreground, 0 background, `IGNORE`.
    box_cells_xyxy: the foreground grown by one cell; the whole map where nothing is foreground.
    """

    labels_hw: Tensor
    box_cells_xyxy: Box

    @property
    def teaches(self) -> bool:
        """Whether any cell has a label."""
        return bool((self.labels_hw != IGNORE).any())


def tristate_labels(
    attention_hw: Tensor,
    sink_hw: Tensor | None = None,
    rule: TriStateRule | None = None,
    picture_hw: Tensor | None = None,
) -> TriState:
    """Label the cells of one attention map.

    A sink is never foreground, but outside the box it counts as background: its attention says
    nothing about the question. So does padding, wherever it is.

    Args:
        attention_hw: Attention of the response to each cell, of shape `(rows, cols)`.
        sink_hw: Attention of the sink heads to each cell, of the same shape, or `None`.
        rule: Thresholds; the reference's by default.
        picture_hw: Boolean map of cells that show the picture, `False` on padding; `None` for all.

    Raises:
        QZoomError: If the maps' shapes differ.
    """
    rule = rule or TriStateRule()
    _same_shape(attention_hw, sink_hw, "sink map")
    _same_shape(attention_hw, picture_hw, "picture mask")
    attention = attention_hw.double()
    sink = torch.zeros_like(attention, dtype=torch.bool)
    if sink_hw is not None:
        sink = sink_hw >= rule.sink_threshold
    padding = torch.zeros_like(sink) if picture_hw is None else ~picture_hw
    usable = attention.masked_fill(sink | padding, 0.0)
    peak = float(usable.max())
    foreground = usable > rule.foreground_threshold * peak
    box = _grown_box(foreground)
    background = attention.masked_fill(sink, 0.0) < rule.background_threshold * peak
    background[box.y1 : box.y2, box.x1 : box.x2] = False
    labels = torch.full(attention.shape, IGNORE)
    too_large = box.width * box.height >= rule.max_box_share * attention.numel()
    if not too_large and peak >= rule.min_peak:
        labels[background | padding] = 0
        labels[foreground] = 1
    return TriState(labels, box)


def picture_cells(image_size_px: tuple[int, int], side_cells: int) -> Tensor:
    """Cells of a square map that show a picture padded to a square, of shape `(side, side)`.

    Args:
        image_size_px: Width and height of the picture before padding.
        side_cells: Cells along a side of the map.
    """
    longest = max(image_size_px)
    spans = [_shown(side / longest, side_cells) for side in image_size_px]
    (left, right), (top, bottom) = spans
    shown = torch.zeros(side_cells, side_cells, dtype=torch.bool)
    shown[top:bottom, left:right] = True
    return shown


def _shown(share: float, side_cells: int) -> tuple[int, int]:
    """First and last (exclusive) cell of a picture side; an odd cell of padding counts as shown."""
    length = max(int(share * side_cells), 1)
    spare = side_cells - length
    return spare // 2, length + (spare + 1) // 2


def _grown_box(foreground_hw: Tensor) -> Box:
    """The box of the foreground, one cell larger on each side; the whole map without any."""
    rows, cols = foreground_hw.shape
    box = foreground_box(foreground_hw.double(), 0.5)
    if box is None:
        return Box(0, 0, cols, rows)
    return Box(max(0, box.x1 - 1), max(0, box.y1 - 1), min(cols, box.x2 + 1), min(rows, box.y2 + 1))


def _same_shape(attention_hw: Tensor, other_hw: Tensor | None, name: str) -> None:
    if other_hw is not None and other_hw.shape != attention_hw.shape:
        raise QZoomError(
            f"the {name} is {tuple(other_hw.shape)} cells, the attention map "
            f"{tuple(attention_hw.shape)}; both must have the same shape"
        )
