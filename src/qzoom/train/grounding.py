"""Attention shown where to look: the answer's ink, in some middle layers.

Learning by the answers alone to match "the red sign" with red cells takes thousands of steps; the
world knows where each answer is printed, so some heads are told. It also gives the middle layers
the grounding that region networks read.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qzoom.backbones.base import rotate
from qzoom.synth.canvas import Question
from qzoom.synth.drawing import PixelBox
from qzoom.synth.window_labels import IGNORE
from qzoom.train.packed_run import PackedRun

GROUNDED_LAYERS: Final = (2, 3, 4)
"""Trunk layers (from 0) whose first half of heads is told where to look."""


def ink_cells(
    question: Question, region_px_xyxy: PixelBox, grid_hw: tuple[int, int]
) -> NDArray[np.bool_]:
    """Cells of a view of `region_px_xyxy` that hold the answer's ink, of shape `(cells,)`."""
    rows, cols = grid_hw
    target = np.zeros((rows, cols), bool)
    if question.box_px_xyxy is None:
        return target.reshape(-1)
    left, top, right, bottom = region_px_xyxy
    x1, y1, x2, y2 = question.box_px_xyxy
    wide, high = (right - left) / cols, (bottom - top) / rows
    down = slice(max(0, int((y1 - top) // high)), int((y2 - 1 - top) // high) + 1)
    across = slice(max(0, int((x1 - left) // wide)), int((x2 - 1 - left) // wide) + 1)
    target[down, across] = True
    return target.reshape(-1)


def grounding_loss(run: PackedRun, layer_inputs: dict[int, Tensor], targets: Tensor) -> Tensor:
    """Mean of -log(attention on the answer's cells among all cells the row can see).

    Args:
        layer_inputs: states `(batch, n, hidden)` that enter each grounded layer.
        targets: of shape `(batch, groups, cells)`, source cells first, then the crop's.
    """
    told = targets.any(-1)[..., None] & (run.labels != IGNORE)
    if not bool(told.any()):
        return run.hidden.new_zeros(())
    losses = [_layer_loss(run, layer, told, targets) for layer in layer_inputs.items()]
    return torch.stack(losses).mean()


def _layer_loss(
    run: PackedRun, entry: tuple[int, Tensor], told_bgl: Tensor, targets_bgc: Tensor
) -> Tensor:
    index, hidden = entry
    layer: Any = run.language.layers[index]
    attn = layer.self_attn
    normed = layer.input_layernorm(hidden)
    shape = (*normed.shape[:-1], -1, attn.head_dim)
    queries = rotate(attn.q_norm(attn.q_proj(normed).view(shape)).transpose(1, 2), run.rotary)
    keys = rotate(attn.k_norm(attn.k_proj(normed).view(shape)).transpose(1, 2), run.rotary)
    told_heads = queries.shape[1] // 2
    per_key = queries.shape[1] // keys.shape[1]
    total = 0.0 * hidden.sum()
    count = 0
    for head in range(told_heads):
        query_bgld = run.text_rows(queries[:, head])
        key_bgcd = run.visible_cells(keys[:, head // per_key])
        scores = query_bgld.float() @ key_bgcd.float().transpose(-1, -2) * attn.scaling
        wanted = scores.masked_fill(~targets_bgc[:, :, None], -torch.inf).logsumexp(-1)
        missed = scores.logsumexp(-1) - wanted
        total = total + missed[told_bgl].mean()
        count += 1
    return total / count
