"""Losses of the two branches, over the cells and samples that have a label."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from qzoom.errors import QZoomError
from qzoom.labels.tristate import IGNORE


def region_loss(logits_hw: Sequence[Tensor], labels_hw: Sequence[Tensor]) -> Tensor:
    """Binary cross-entropy, mean over every labelled cell of the batch (L_RPN, sec. III-C).

    A map whose grid is not the label's is resized to it, bilinearly.

    Args:
        logits_hw: Raw maps, each of shape `(rows, cols)`.
        labels_hw: Tri-state labels of the same or another grid.

    Returns:
        The loss; a zero that still has gradients where no cell has a label.

    Raises:
        QZoomError: If there are more maps than labels, or fewer.
    """
    if len(logits_hw) != len(labels_hw):
        raise QZoomError(f"{len(logits_hw)} maps and {len(labels_hw)} label maps; give as many")
    resized = [_on_grid(*pair) for pair in zip(logits_hw, labels_hw, strict=True)]
    logits = torch.cat([pair.flatten() for pair in resized])
    labels = torch.cat([label.flatten() for label in labels_hw]).to(logits.device)
    return _masked_bce(logits, labels)


def gate_loss(logits_b: Tensor, labels_b: Tensor) -> Tensor:
    """Binary cross-entropy, mean over the samples that have a label (eq. 3)."""
    return _masked_bce(logits_b, labels_b.to(logits_b.device))


def _masked_bce(logits: Tensor, labels: Tensor) -> Tensor:
    known = labels != IGNORE
    if not bool(known.any()):
        return 0.0 * logits.sum()  # the mean over nothing is not a number
    return F.binary_cross_entropy_with_logits(logits[known], labels[known].to(logits.dtype))


def _on_grid(logits_hw: Tensor, labels_hw: Tensor) -> Tensor:
    if logits_hw.shape == labels_hw.shape:
        return logits_hw
    grid = (int(labels_hw.shape[0]), int(labels_hw.shape[1]))
    return F.interpolate(logits_hw[None, None], grid, mode="bilinear", align_corners=False)[0, 0]
