"""Pictures to flat patches, as the Qwen image processors lay them out, for equal sizes."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from qzoom.errors import ConfigError
from qzoom.synth.window_labels import CELL_PX, PATCH_PX

MERGE: Final = CELL_PX // PATCH_PX


def patches_uint8(image: Image.Image) -> NDArray[np.uint8]:
    """Patches in merge-block order, of shape `(patches, 3, 16, 16)`, not yet normalised."""
    pixels = np.asarray(image.convert("RGB"), np.uint8)
    rows, cols = pixels.shape[0] // CELL_PX, pixels.shape[1] // CELL_PX
    blocks = pixels.reshape(rows, MERGE, PATCH_PX, cols, MERGE, PATCH_PX, 3)
    return blocks.transpose(0, 3, 1, 4, 6, 2, 5).reshape(-1, 3, PATCH_PX, PATCH_PX)


def normalise(patches: NDArray[np.generic] | Tensor) -> Tensor:
    """Patch values in [-1, 1] with the frame doubled, of shape `(batch, patches, 3*2*16*16)`."""
    tensor = torch.as_tensor(patches).float().div_(127.5).sub_(1.0)
    batch, count = tensor.shape[:2]
    frames = tensor.unsqueeze(3).expand(-1, -1, -1, 2, -1, -1)
    return frames.reshape(batch, count, -1)


def whitening_filters(patches: NDArray[np.generic], count: int) -> tuple[Tensor, Tensor]:
    """Patch-embedding weight and bias that whiten the given patches by their principal parts.

    Args:
        patches: of shape `(batch, patches, 3, 16, 16)`, 8-bit.
        count: filters wanted.

    Returns:
        weight of shape `(count, 3, 2, 16, 16)` and bias of shape `(count,)`.

    Raises:
        ConfigError: when there are fewer patches than filters.
    """
    flat = torch.as_tensor(patches).float().div(127.5).sub(1.0).reshape(-1, 3 * PATCH_PX**2)[:4096]
    if len(flat) < count:
        raise ConfigError(f"{len(flat)} patches cannot give {count} filters; use more windows")
    mean = flat.mean(0)
    _, scale, parts = torch.linalg.svd(flat - mean, full_matrices=False)
    rows = 0.5 * parts[:count] / (scale[:count, None] / len(flat) ** 0.5 + 0.1)
    weight = (rows / 2).view(count, 3, 1, PATCH_PX, PATCH_PX).repeat(1, 1, 2, 1, 1)
    return weight, -(rows @ mean)
