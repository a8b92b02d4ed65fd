"""Whole prompts through trunk layers without a cache: the pass of labelling and training.

Shapes: B batch, N rows (padded on the right), H hidden size, A query heads, D head size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from qzoom.backbones.base import Rotary, VisionFeatures, rotate
from qzoom.zoom.layers import Rows, attention_mask
from qzoom.zoom.parts import ModelParts
from qzoom.zoom.prompt import PromptLayout
from qzoom.zoom.rows import rows_of

Visit = Callable[[int, Tensor], None]
"""Called with a layer's index and the states that enter it."""


@dataclass(frozen=True)
class UncachedRun:
    """Input rows of a batch, with the rotary tables and the mask that every layer gets."""

    parts: ModelParts
    layouts: Sequence[PromptLayout]
    rows: Rows
    rotary: Rotary
    mask: Tensor | None

    @classmethod
    def of(
        cls,
        parts: ModelParts,
        layouts: Sequence[PromptLayout],
        features: Sequence[Sequence[VisionFeatures]],
    ) -> UncachedRun:
        """Lay prompts of any lengths side by side.

        Args:
            features: per prompt, its encoded images in order.
        """
        backbone = parts.backbone
        rows = rows_of(backbone, layouts, features, [0] * len(layouts), parts.ids.image)
        count = rows.hidden_bnh.shape[1]
        mask = attention_mask(backbone, count, count, rows.valid_bn)
        return cls(parts, layouts, rows, backbone.rotary(rows.position_ids), mask)

    def trunk(self, layers: int, visit: Visit | None = None, *, recompute: bool = False) -> Tensor:
        """States of shape `(B, N, H)` that leave the first `layers` trunk layers.

        Args:
            recompute: Keep only what enters each layer and run it again for its gradients.
        """
        hidden = self.rows.hidden_bnh
        for index in range(layers):
            if visit is not None:
                visit(index, hidden)
            if recompute:
                hidden = checkpoint(self._trunk_layer, index, hidden, use_reentrant=False)
            else:
                hidden = self._trunk_layer(index, hidden)
        return hidden

    def _trunk_layer(self, index: int, hidden_bnh: Tensor) -> Tensor:
        """One trunk layer, and the image features that the first ones get after it."""
        rows = self.rows
        hidden_bnh = self.through([self.parts.backbone.layers[index]], hidden_bnh)
        if rows.visual_bn is None or index >= len(rows.deepstack):
            return hidden_bnh
        features = rows.deepstack[index].to(hidden_bnh.dtype)
        nothing = torch.zeros_like(hidden_bnh)
        return hidden_bnh + nothing.masked_scatter(rows.visual_bn[..., None], features)

    def through(self, layers: Iterable[nn.Module], hidden_bnh: Tensor) -> Tensor:
        """States through decoder layers that get no image features."""
        for layer in layers:
            hidden_bnh = layer(
                hidden_bnh, position_embeddings=self.rotary, attention_mask=self.mask
            )
        return hidden_bnh

    def attention_of(
        self, layer: nn.Module, hidden_bnh: Tensor, b: int, asking: Tensor, heads: Sequence[int]
    ) -> Tensor:
        """Attention weights of some rows and heads of one prompt, float32 `(heads, rows, n)`.

        The same as a slice of the layer's whole map, which is never built.

        Args:
            hidden_bnh: states that enter the layer.
            b: the prompt; its own `n` rows are the keys.
            asking: rows whose attention is wanted, of shape `(rows,)`.
        """
        attn: Any = layer.self_attn
        count = self.layouts[b].length
        normed = layer.input_layernorm(hidden_bnh[b, :count])  # type: ignore[operator]
        queries = _heads(attn, "q", normed[asking])
        keys = _heads(attn, "k", normed)
        cos, sin = (table[b : b + 1, :count] for table in self.rotary)
        queries = rotate(queries, (cos[:, asking], sin[:, asking]))[0]
        keys = rotate(keys, (cos, sin))[0]
        shared = queries.shape[0] // keys.shape[0]
        chosen = torch.as_tensor(heads, device=queries.device)
        scores = queries[chosen].float() @ keys[chosen // shared].float().transpose(-1, -2)
        later = torch.arange(count, device=asking.device) > asking[:, None]
        weights: Tensor = (scores * attn.scaling).masked_fill(later, -torch.inf).softmax(-1)
        return weights


def cell_rows(layout: PromptLayout) -> Tensor:
    """Rows of a prompt that are source cells, image after image."""
    spans = [
        torch.arange(start, start + rows * cols)
        for start, (rows, cols) in zip(layout.image_starts, layout.grids_hw, strict=True)
    ]
    return torch.cat(spans) if spans else torch.empty(0, dtype=torch.long)


def _heads(attn: Any, kind: str, normed_nh: Tensor) -> Tensor:
    """Queries or keys before rotation, of shape `(1, heads, rows, D)`."""
    rows: Tensor = getattr(attn, f"{kind}_proj")(normed_nh)
    rows = rows.view(1, len(normed_nh), -1, attn.head_dim)
    norm = getattr(attn, f"{kind}_norm", None)
    normed: Tensor = rows if norm is None else norm(rows)
    return normed.transpose(1, 2)
