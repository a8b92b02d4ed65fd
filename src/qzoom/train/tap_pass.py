"""Prompts run to the tap and no further: trunk layers 1..B without gradients, then a branch.

Shapes: B batch, N rows (padded on the right), H hidden size, C source cells of one prompt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qzoom.backbones.base import Rotary, VisionFeatures
from qzoom.errors import ConfigError
from qzoom.zoom.branches import ZoomAddOn
from qzoom.zoom.layers import attention_mask
from qzoom.zoom.parts import ModelParts
from qzoom.zoom.prompt import PromptLayout
from qzoom.zoom.region import region_keys, region_logits
from qzoom.zoom.rows import rows_of


@dataclass(frozen=True)
class TapStates:
    """What leaves trunk layer B, detached: the input of both branches.

    hidden_bnh: states of all rows.
    mask: of the attention layers, or None where the kernel's causal rule is enough.
    """

    parts: ModelParts
    layouts: Sequence[PromptLayout]
    hidden_bnh: Tensor
    rotary: Rotary
    mask: Tensor | None

    def through(self, layers: Iterable[nn.Module]) -> Tensor:
        """All rows through a branch's decoder layers, of shape `(B, N, H)`."""
        hidden = self.hidden_bnh
        for layer in layers:
            hidden = layer(hidden, position_embeddings=self.rotary, attention_mask=self.mask)
        return hidden


@torch.no_grad()
def tap_states(
    parts: ModelParts,
    layouts: Sequence[PromptLayout],
    features: Sequence[Sequence[VisionFeatures]],
) -> TapStates:
    """Run prompts of any lengths through trunk layers 1..B; nothing above is computed.

    Args:
        features: per prompt, its encoded images in order.
    """
    backbone = parts.backbone
    rows = rows_of(backbone, layouts, features, [0] * len(layouts), parts.ids.image)
    rotary = backbone.rotary(rows.position_ids)
    count = rows.hidden_bnh.shape[1]
    mask = attention_mask(backbone, count, count, rows.valid_bn)
    hidden = rows.hidden_bnh
    for index, layer in enumerate(parts.lower):
        hidden = layer(hidden, position_embeddings=rotary, attention_mask=mask)
        if rows.visual_bn is not None and index < len(rows.deepstack):
            added = torch.zeros_like(hidden).masked_scatter(
                rows.visual_bn[..., None], rows.deepstack[index].to(hidden.dtype)
            )
            hidden = hidden + added
    return TapStates(parts, layouts, hidden.detach(), rotary, mask)


def gate_logits(tap: TapStates, asking_b: Sequence[int]) -> Tensor:
    """Refine logits before the sigmoid, float32 of shape `(B,)` (eq. 2).

    Args:
        asking_b: per prompt, the row that asks: the last one before the answer.

    Raises:
        ConfigError: When the model has no gate.
    """
    gate = _add_on(tap).gate
    if gate is None:
        raise ConfigError("the model has no gate branch to train; set enable_high_res")
    hidden = tap.through(gate.layers)
    batch = torch.arange(len(asking_b), device=hidden.device)
    logits: Tensor = gate.head(hidden[batch, torch.as_tensor(asking_b, device=hidden.device)])
    return logits[:, 0].float()


def region_map_logits(tap: TapStates, asking_br: Sequence[Sequence[int]]) -> list[list[Tensor]]:
    """Raw maps of shape `(C,)`, one for each asking row of each prompt (eq. 5).

    Args:
        asking_br: per prompt, the rows that ask; several where a prompt holds several turns.
    """
    region = _add_on(tap).region
    hidden = tap.through(region.layers)
    cos, sin = tap.rotary
    found = []
    for b, (layout, rows) in enumerate(zip(tap.layouts, asking_br, strict=True)):
        cells = cell_rows(layout)
        keys = region_keys(
            region.final,
            hidden[b, cells],
            (cos[b : b + 1, cells], sin[b : b + 1, cells]),
            hidden[b, 0],
            (cos[b : b + 1, :1], sin[b : b + 1, :1]),
            rule="none",
        )
        found.append(
            [
                region_logits(
                    region.final,
                    hidden[b, row],
                    (cos[b : b + 1, row : row + 1], sin[b : b + 1, row : row + 1]),
                    keys,
                )
                for row in rows
            ]
        )
    return found


def cell_rows(layout: PromptLayout) -> Tensor:
    """Rows of a prompt that are source cells, image after image."""
    spans = [
        torch.arange(start, start + rows * cols)
        for start, (rows, cols) in zip(layout.image_starts, layout.grids_hw, strict=True)
    ]
    return torch.cat(spans) if spans else torch.empty(0, dtype=torch.long)


def _add_on(tap: TapStates) -> ZoomAddOn:
    if tap.parts.add_on is None:
        raise ConfigError("a plain backbone has no branches to train")
    return tap.parts.add_on
