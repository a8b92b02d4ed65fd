"""Whole prompts through trunk layers without a cache: the pass of labelling and training.

Prompts share rows where that leaves less padding; each sees itself alone, at its own positions.

Shapes: B rows of the batch, N slots of one (padded on the right), n slots of one prompt, H hidden
size, A query heads, D head size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from qzoom.backbones.base import Rotary, VisionFeatures, rotate
from qzoom.zoom.layers import Rows, whole_prompts_mask
from qzoom.zoom.parts import ModelParts
from qzoom.zoom.placement import Place, fitted, rows_in
from qzoom.zoom.prompt import PromptLayout
from qzoom.zoom.rows import rows_from

Visit = Callable[[int, Tensor], None]
"""Called with a layer's index and the states that enter it."""


@dataclass(frozen=True)
class UncachedRun:
    """Input rows of a batch, with the rotary tables and the mask that every layer gets.

    places: where each prompt of `layouts` lies.
    """

    parts: ModelParts
    layouts: Sequence[PromptLayout]
    places: Sequence[Place]
    rows: Rows
    rotary: Rotary
    mask: Tensor | None

    @classmethod
    def of(
        cls,
        parts: ModelParts,
        layouts: Sequence[PromptLayout],
        features: Sequence[Sequence[VisionFeatures]],
        places: Sequence[Place] | None = None,
    ) -> UncachedRun:
        """Lay prompts of any lengths beside and after each other.

        Args:
            features: per prompt, its encoded images in order.
            places: where each lies; None packs them into as few rows as the longest allows.
        """
        backbone = parts.backbone
        if places is None:
            places = fitted([layout.length for layout in layouts])
        together = rows_in(places)
        rows = rows_from(
            backbone,
            [torch.cat([layouts[p].input_ids for p in row]) for row in together],
            [torch.cat([layouts[p].position_ids.float() for p in row], 1) for row in together],
            [image for row in together for p in row for image in features[p]],
            parts.ids.image,
        )
        mask = whole_prompts_mask(backbone, places)
        return cls(parts, layouts, places, rows, backbone.rotary(rows.position_ids), mask)

    def states_of(self, p: int, hidden_bnh: Tensor) -> Tensor:
        """One prompt's own states, of shape `(n, H)`."""
        place = self.places[p]
        return hidden_bnh[place.row, place.start : place.end]

    def states_at(self, prompt_t: Tensor, slot_t: Tensor, hidden_bnh: Tensor) -> Tensor:
        """States of some slots, of shape `(T, H)`.

        Args:
            prompt_t: the prompt of each, of shape `(T,)`, on any device; slot_t: its slot there.
        """
        row_t = torch.tensor([place.row for place in self.places])[prompt_t]
        start_t = torch.tensor([place.start for place in self.places])[prompt_t]
        device = hidden_bnh.device
        return hidden_bnh[row_t.to(device), (start_t + slot_t).to(device)]

    def rotary_of(self, p: int) -> Rotary:
        """One prompt's own rotary tables, of shape `(1, n, D)`."""
        place = self.places[p]
        cos, sin = self.rotary
        turn, span = slice(place.row, place.row + 1), slice(place.start, place.end)
        return cos[turn, span], sin[turn, span]

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
        self, layer: nn.Module, hidden_bnh: Tensor, p: int, asking: Tensor, heads: Sequence[int]
    ) -> Tensor:
        """Attention weights of some rows and heads of one prompt, float32 `(heads, rows, n)`.

        The same as a slice of the layer's whole map, which is never built.

        Args:
            hidden_bnh: states that enter the layer.
            p: the prompt; its own `n` slots are the keys.
            asking: slots whose attention is wanted, of shape `(rows,)`.
        """
        attn: Any = layer.self_attn
        states_nh = self.states_of(p, hidden_bnh)
        count = len(states_nh)
        normed = layer.input_layernorm(states_nh)  # type: ignore[operator]
        queries = _heads(attn, "q", normed[asking])
        keys = _heads(attn, "k", normed)
        cos, sin = self.rotary_of(p)
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
