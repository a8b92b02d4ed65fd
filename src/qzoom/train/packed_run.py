"""One packed batch on its way through the trunk; see `qzoom.train.packing` for the layout."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import Qwen3VLForConditionalGeneration

from qzoom.train.loader import Batch
from qzoom.train.packing import Tokens, group_mask, packed_positions
from qzoom.train.pixels import MERGE, normalise
from qzoom.train.tower import TowerOutput, encode_equal


class PackedRun:
    """Input rows, positions and mask of one batch, and the passes over them.

    ids, labels: of shape `(batch, groups, length)`.
    source_hw, crop_hw: cells of each picture and of each crop (None for direct groups).
    prefix: rows that all groups of a picture share.
    hidden: input rows of shape `(batch, n, hidden)`.
    deepstack: one such tensor for each of the first trunk layers, zero off the cells.
    """

    def __init__(
        self, model: Qwen3VLForConditionalGeneration, tokens: Tokens, batch: Batch
    ) -> None:
        self.model = model
        self.language: Any = model.model.language_model
        self.ids = torch.as_tensor(batch["ids"])
        self.labels = torch.as_tensor(batch["labels"])
        self.source_hw = _pair(batch["source_hw"])
        self.crop_hw = _pair(batch["crop_hw"]) if "crops" in batch else None
        source = _encode(model, batch["source"], self.source_hw)
        crops = _encode(model, batch["crops"], self.crop_hw) if self.crop_hw else None
        images, self.groups, self.length = self.ids.shape
        self.prefix = len(tokens.prefix) + self.source_hw[0] * self.source_hw[1]
        boxes = batch["boxes"].tolist() if "boxes" in batch else None
        positions = packed_positions(
            len(tokens.prefix), self.source_hw, self.length, self.groups, boxes, self.crop_hw
        ).expand(3, images, -1)
        self.hidden, self.deepstack = self._assemble(tokens, source, crops)
        self.rotary = self.language.rotary_emb(self.hidden, positions)
        tail = self.hidden.shape[1] - self.prefix
        self.mask = group_mask(self.prefix, self.groups, tail // self.groups)

    def trunk(self, layers: int | None = None, record: dict[int, Tensor] | None = None) -> Tensor:
        """Hidden states `(batch, n, hidden)` after the first layers, or after all and the norm.

        Args:
            record: given with layer indices as keys, receives the states that enter those layers.
        """
        hidden = self.hidden
        for index, layer in enumerate(self.language.layers[:layers]):
            if record is not None and index in record:
                record[index] = hidden
            hidden = layer(hidden, position_embeddings=self.rotary, attention_mask=self.mask)
            if index < len(self.deepstack):
                hidden = hidden + self.deepstack[index]
        normed: Tensor = hidden if layers is not None else self.language.norm(hidden)
        return normed

    def through(self, layers: Iterable[nn.Module], hidden: Tensor) -> Tensor:
        """Further layers over rows that already have their deepstack features."""
        for layer in layers:
            hidden = layer(hidden, position_embeddings=self.rotary, attention_mask=self.mask)
        return hidden

    def text_rows(self, hidden: Tensor) -> Tensor:
        """The question rows of each group, of shape `(batch, groups, length, hidden)`."""
        images, _, width = hidden.shape
        groups = hidden[:, self.prefix :].view(images, self.groups, -1, width)
        return groups[:, :, -self.length :]

    def source_rows(self, hidden: Tensor) -> Tensor:
        """The source's cells, of shape `(batch, cells, hidden)`."""
        cells = self.source_hw[0] * self.source_hw[1]
        return hidden[:, self.prefix - cells : self.prefix]

    def visible_cells(self, rows: Tensor) -> Tensor:
        """Source cells, then each group's crop cells, of shape `(batch, groups, cells, width)`."""
        source = self.source_rows(rows)[:, None].expand(-1, self.groups, -1, -1)
        if self.crop_hw is None:
            return source
        images, _, width = rows.shape
        groups = rows[:, self.prefix :].view(images, self.groups, -1, width)
        cells = self.crop_hw[0] * self.crop_hw[1]
        return torch.cat([source, groups[:, :, 2 : 2 + cells]], 2)

    def _assemble(
        self, tokens: Tokens, source: TowerOutput, crops: TowerOutput | None
    ) -> tuple[Tensor, list[Tensor]]:
        """Input rows and deepstack features, laid out alike."""
        hidden = self._lay_out(tokens, source.cells_bch, crops.cells_bch if crops else None)
        deepstack = [
            self._lay_out(tokens, level, crops.deepstack_bch[i] if crops else None, text=False)
            for i, level in enumerate(source.deepstack_bch)
        ]
        return hidden, deepstack

    def _lay_out(
        self, tokens: Tokens, source: Tensor, crops: Tensor | None, *, text: bool = True
    ) -> Tensor:
        """Rows `(batch, n, hidden)`: cells in their places, text around them or zeros for it."""
        images, dtype = len(self.ids), self.language.embed_tokens.weight.dtype

        def fixed(*ids: int) -> Tensor:
            return self._words(torch.tensor(ids), text=text).expand(images, -1, -1)

        parts = [fixed(*tokens.prefix), source.to(dtype)]
        for group in range(self.groups):
            parts.append(fixed(tokens.vision_end))
            if crops is not None:
                mine = crops.view(images, self.groups, *crops.shape[1:])[:, group]
                parts += [fixed(tokens.vision_start), mine.to(dtype), fixed(tokens.vision_end)]
            parts.append(self._words(self.ids[:, group], text=text))
        return torch.cat(parts, 1)

    def _words(self, ids: Tensor, *, text: bool) -> Tensor:
        rows: Tensor = self.language.embed_tokens(ids)
        return rows if text else torch.zeros_like(rows)


def packed_forward(
    model: Qwen3VLForConditionalGeneration, tokens: Tokens, batch: Batch, layers: int | None = None
) -> tuple[Tensor, Tensor]:
    """Hidden states of the groups' text rows after `layers` trunk layers (all: and the norm).

    Returns:
        states of shape `(batch, groups, length, hidden)` and labels `(batch, groups, length)`.
    """
    run = PackedRun(model, tokens, batch)
    return run.text_rows(run.trunk(layers)), run.labels


def _pair(sizes: NDArray[Any]) -> tuple[int, int]:
    return int(sizes[0]), int(sizes[1])


def _encode(
    model: Qwen3VLForConditionalGeneration, patches: NDArray[Any], cells_hw: tuple[int, int]
) -> TowerOutput:
    grid = (MERGE * cells_hw[0], MERGE * cells_hw[1])
    return encode_equal(model.model.visual, normalise(patches), grid)
