"""Running decoder layers over appended rows.

Shapes: B batch, N appended rows, S slots in the store after the append, H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qzoom.backbones.base import Backbone, Rotary
from qzoom.steps import Steps, finish
from qzoom.zoom.cache import FrozenStore, LayerStore
from qzoom.zoom.placement import Place, segments


@dataclass(frozen=True)
class Rows:
    """Rows to append, before any layer.

    hidden_bnh: input embeddings with image features in place.
    position_ids: of shape `(3, B, N)`, float where a crop is aligned.
    visual_bn: which rows are image cells, or None when none is.
    deepstack: per level, features of the visual rows in row order, of shape `(cells, H)`.
    valid_bn: which rows are not padding, or None when all are real.
    """

    hidden_bnh: Tensor
    position_ids: Tensor
    visual_bn: Tensor | None = None
    deepstack: tuple[Tensor, ...] = ()
    valid_bn: Tensor | None = None


def attention_mask(
    backbone: Backbone,
    rows: int,
    slots: int,
    valid_bs: Tensor | None,
    *,
    right_padded: bool = False,
) -> Tensor | None:
    """Mask under which the last `rows` of `slots` see themselves and what came before.

    None where the attention kernel's own causal rule (or no rule) is the same: no dense mask is
    built for whole prompts or for a single row.

    Args:
        right_padded: slots that are not valid follow all that are, so no real row sees them.
    """
    alone = rows == slots and rows > 1 and backbone.attn_implementation == "sdpa"
    if alone and (valid_bs is None or right_padded):
        return None
    if valid_bs is None and rows == 1:
        return None
    seen = torch.ones(rows, slots, dtype=torch.bool, device=backbone.device).tril(slots - rows)
    mask = seen[None, None]
    if valid_bs is not None:
        mask = mask & valid_bs[:, None, None, :]
    return _for_kernel(backbone, mask)


def whole_prompts_mask(backbone: Backbone, places: Sequence[Place]) -> Tensor | None:
    """Mask under which whole prompts see themselves alone, those that share a row too.

    None where the kernel's own causal rule is the same: padding to the right is never seen.
    """
    packed = any(place.start for place in places)
    if not packed and backbone.attn_implementation == "sdpa":
        return None
    segment_bn = segments(places).to(backbone.device)
    same = segment_bn[:, None, :, None] == segment_bn[:, None, None, :]
    return _for_kernel(backbone, same.tril())


def _for_kernel(backbone: Backbone, seen: Tensor) -> Tensor:
    """What may be seen, in the form that the attention kernel takes."""
    if backbone.attn_implementation == "sdpa":
        return seen
    lowest = torch.finfo(backbone.dtype).min
    return torch.zeros(seen.shape, dtype=backbone.dtype, device=seen.device).masked_fill(
        ~seen, lowest
    )


@dataclass(frozen=True)
class LayerRun:
    """One append through consecutive layers that share a store.

    valid_bs: which slots hold real rows after the append, or None when all do.
    right_padded: those that do not follow all that do.
    """

    backbone: Backbone
    store: LayerStore
    rotary: Rotary
    valid_bs: Tensor | None = None
    right_padded: bool = False

    def __call__(
        self,
        layers: Sequence[nn.Module],
        hidden_bnh: Tensor,
        *,
        first_index: int = 0,
        rows: Rows | None = None,
        last_b: Tensor | None = None,
    ) -> Tensor:
        """The same as `steps`, at once."""
        return finish(
            self.steps(layers, hidden_bnh, first_index=first_index, rows=rows, last_b=last_b)
        )

    def steps(
        self,
        layers: Sequence[nn.Module],
        hidden_bnh: Tensor,
        *,
        first_index: int = 0,
        rows: Rows | None = None,
        last_b: Tensor | None = None,
    ) -> Steps[Tensor]:
        """Append the rows to every layer, pausing between layers.

        Args:
            layers: modules whose `layer_idx` counts from `first_index`.
            rows: source of deepstack features, when `layers` may be among the first ones.
            last_b: index of each batch row's last real row, of shape `(B,)`; when given, the last
                layer computes its output for that row alone.

        Returns:
            states of shape `(B, N, H)`, or `(B, 1, H)` with `last_b`; the rows as they came where
            there are no layers.
        """
        if not layers:
            return hidden_bnh
        count = hidden_bnh.shape[1]
        slots = self.store.length(first_index) + count
        padded = self.right_padded
        mask = attention_mask(self.backbone, count, slots, self.valid_bs, right_padded=padded)
        trimmed = len(layers) - 1 if last_b is not None and count > 1 else len(layers)
        for index, layer in enumerate(layers[:trimmed], first_index):
            if index > first_index:
                yield
            hidden_bnh = layer(
                hidden_bnh,
                position_embeddings=self.rotary,
                attention_mask=mask,
                past_key_values=self.store,
            )
            if rows is not None and rows.visual_bn is not None and index < len(rows.deepstack):
                features = rows.deepstack[index].to(hidden_bnh.dtype)
                # Indexing with a mask would make the host wait for the device.
                nothing = torch.zeros_like(hidden_bnh)
                hidden_bnh = hidden_bnh + nothing.masked_scatter(
                    rows.visual_bn[..., None], features
                )
        if last_b is None or count == 1:
            return hidden_bnh
        if trimmed:
            yield
        return self._last_layer(layers[-1], hidden_bnh, last_b)

    def _last_layer(self, layer: nn.Module, hidden_bnh: Tensor, last_b: Tensor) -> Tensor:
        """Keys and values of all rows, output of each batch row's last one."""
        self.backbone.write_keys(layer, hidden_bnh, self.rotary, self.store)
        batch = torch.arange(len(last_b), device=last_b.device)
        cos, sin = (table[batch, last_b][:, None] for table in self.rotary)
        slots = self.store.length(layer.self_attn.layer_idx)  # type: ignore[union-attr, arg-type]
        out: Tensor = layer(
            hidden_bnh[batch, last_b][:, None],
            position_embeddings=(cos, sin),
            attention_mask=attention_mask(self.backbone, 1, slots, self.valid_bs),
            past_key_values=FrozenStore(self.store),
        )
        return out
