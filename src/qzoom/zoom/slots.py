"""Keys and values of prompts that decode together, each in a row of its own.

A prompt joins after its prefill and leaves when its answer ends; rows are as long as their own
prompt and answer, so nobody pays for a slot that somebody else filled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from qzoom.zoom.cache import KVStore

ROOM = 64
"""Slots that are kept free behind the longest row."""


class SlotStore:
    """Buffers of shape `(rows, kv heads, slots, head size)` per layer, filled from slot 0 on.

    Stands where transformers expects a cache: its attention layers call `update` alone.
    """

    def __init__(self, layer_count: int) -> None:
        self._layer_count = layer_count
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []
        self._lengths: list[int] = []
        self._lengths_b = torch.empty(0)

    def length(self, _layer: int) -> int:
        """Slots of the longest row, the same in every layer."""
        return max(self._lengths, default=0)

    def rows(self, layer: int) -> tuple[Tensor, Tensor]:
        """Views of the keys and values of a layer, as far as the longest row goes."""
        return self._seen(layer, max(self._lengths))

    def valid_bs(self) -> Tensor | None:
        """Which slots are real during a step, of shape `(rows, slots)`; None when all are."""
        if min(self._lengths) == max(self._lengths):
            return None
        slots = torch.arange(max(self._lengths) + 1, device=self._lengths_b.device)
        return slots <= self._lengths_b[:, None]

    def join(
        self, store: KVStore, spans: Sequence[Sequence[range]], *, borrow: bool = False
    ) -> None:
        """Add the rows of a store.

        Args:
            spans: per row, its real slots in order.
            borrow: the store is not appended to before the rows have left, so that the first to
                come may stay where they are.
        """
        from_start = all(len(row) == 1 and row[0].start == 0 for row in spans)
        if borrow and from_start and not self._lengths:
            pairs = [store.buffers(layer) for layer in range(self._layer_count)]
            self._keys, self._values = [k for k, _ in pairs], [v for _, v in pairs]
        else:
            self._copy_in(store, spans)
        self._set_lengths(self._lengths + [sum(map(len, row)) for row in spans])

    def keep(self, rows: Sequence[int]) -> None:
        """Let go of all rows but these, which take their places in this order."""
        for layer in range(self._layer_count if rows else 0):
            for buffer in (self._keys[layer], self._values[layer]):
                for new, old in enumerate(rows):
                    if new != old:
                        end = self._lengths[old]
                        buffer[new, :, :end] = buffer[old, :, :end]
        if not rows:
            self._keys, self._values = [], []
        self._set_lengths([self._lengths[old] for old in rows])

    def begin_step(self) -> None:
        """Make room for one more slot in every row."""
        self._make_room(len(self._lengths), max(self._lengths) + 1)

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Append one slot of shape `(rows, kv heads, 1, head size)`; return what attention sees."""
        rows, longest = len(self._lengths), max(self._lengths)
        for buffer, new in (
            (self._keys[layer_idx], key_states),
            (self._values[layer_idx], value_states),
        ):
            if min(self._lengths) == longest:
                buffer[:rows, :, longest] = new[:, :, 0]
            else:
                each = torch.arange(rows, device=buffer.device)
                buffer[each, :, self._lengths_b] = new[:, :, 0]
        return self._seen(layer_idx, longest + 1)

    def end_step(self) -> None:
        """Count the slot that every layer has appended."""
        self._lengths = [length + 1 for length in self._lengths]
        self._lengths_b = self._lengths_b + 1

    def _seen(self, layer: int, slots: int) -> tuple[Tensor, Tensor]:
        count = len(self._lengths)
        return self._keys[layer][:count, :, :slots], self._values[layer][:count, :, :slots]

    def _set_lengths(self, lengths: list[int]) -> None:
        device = self._keys[0].device if self._keys else None
        lengths_b = torch.tensor(lengths, device=device)
        self._lengths, self._lengths_b = lengths, lengths_b

    def _copy_in(self, store: KVStore, spans: Sequence[Sequence[range]]) -> None:
        first = len(self._lengths)
        if not self._keys:
            shapes = [store.buffers(layer) for layer in range(self._layer_count)]
            self._keys, self._values = ([pair[i][:0] for pair in shapes] for i in (0, 1))
        longest = max(sum(map(len, row)) for row in spans)
        self._make_room(first + len(spans), max(longest, self.length(0)))
        for layer in range(self._layer_count):
            buffers = self._keys[layer], self._values[layer]
            for buffer, theirs in zip(buffers, store.rows(layer), strict=True):
                for row, parts in enumerate(spans):
                    pieces = [theirs[row, :, part.start : part.stop] for part in parts]
                    whole = torch.cat(pieces, 1)
                    buffer[first + row, :, : whole.shape[1]] = whole

    def _make_room(self, rows: int, slots: int) -> None:
        """Grow the buffers by half or more where they are too small; what is there stays."""
        has_rows = len(self._keys[0])
        has_slots = min(buffer.shape[2] for buffer in self._keys)
        if rows <= has_rows and slots <= has_slots:
            return
        filled = self.length(0)
        if rows > has_rows:
            has_rows = max(rows, has_rows + has_rows // 2)
        if slots > has_slots:
            has_slots = slots + max(ROOM, filled // 2)
        for buffers in (self._keys, self._values):
            for layer, old in enumerate(buffers):
                # Zeros, because a slot that is masked out must still hold numbers.
                new = old.new_zeros((has_rows, old.shape[1], has_slots, old.shape[3]))
                new[: len(old), :, :filled] = old[:, :, :filled]
                buffers[layer] = new
