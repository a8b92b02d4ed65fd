"""Keys and values that are appended, rolled back and copied, never rewritten."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

KeyValues = list[tuple[Tensor, Tensor]]
"""Keys and values per layer, each of shape `(B, kv heads, rows, head size)`."""


class LayerStore(Protocol):
    """What layers need of a store: transformers' attention calls `update`."""

    def length(self, layer: int, /) -> int:
        """Slots in use by a layer."""
        ...

    def rows(self, layer: int, /) -> tuple[Tensor, Tensor]:
        """Keys and values of a layer."""
        ...

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Append rows of shape `(B, kv heads, n, head size)`; return all rows of the layer."""
        ...


class KVStore:
    """Keys and values of some layers, in slots that only grow or are cut at the end.

    Stands where transformers expects a cache: its attention layers call `update` alone.

    Args:
        room: slots that are kept free behind the first rows, for a question or an answer.
    """

    def __init__(self, layer_count: int, room: int = 64) -> None:
        self._room = room
        self._keys: list[Tensor | None] = [None] * layer_count
        self._values: list[Tensor | None] = [None] * layer_count
        self._lengths = [0] * layer_count

    def length(self, layer: int) -> int:
        """Slots in use by a layer."""
        return self._lengths[layer]

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Append rows of shape `(B, kv heads, n, head size)`; return all rows of the layer."""
        end = self._lengths[layer_idx] + key_states.shape[2]
        self._keys[layer_idx] = self._write(self._keys[layer_idx], key_states, layer_idx, end)
        self._values[layer_idx] = self._write(self._values[layer_idx], value_states, layer_idx, end)
        self._lengths[layer_idx] = end
        return self.rows(layer_idx)

    def rows(self, layer: int) -> tuple[Tensor, Tensor]:
        """Views of the keys and values of a layer."""
        keys, values = self._keys[layer], self._values[layer]
        if keys is None or values is None:
            raise IndexError(f"layer {layer} holds no rows")
        end = self._lengths[layer]
        return keys[:, :, :end], values[:, :, :end]

    def buffers(self, layer: int) -> tuple[Tensor, Tensor]:
        """Keys and values of a layer with the free slots behind them."""
        self.rows(layer)
        return self._keys[layer], self._values[layer]  # type: ignore[return-value]

    @property
    def size_bytes(self) -> int:
        """Memory of all buffers, free slots included."""
        kept = (buffer for buffer in self._keys + self._values if buffer is not None)
        return sum(buffer.nbytes for buffer in kept)

    def truncate(self, length: int) -> None:
        """Forget all rows from a slot on."""
        self._lengths = [min(current, length) for current in self._lengths]

    def copy_rows(self, start: int, end: int | None = None) -> KeyValues:
        """Own copies of every layer's rows in slots [start, end), or to the last one."""
        pairs = (self.rows(layer) for layer in range(len(self._lengths)))
        return [
            (keys[:, :, start:end].clone(), values[:, :, start:end].clone())
            for keys, values in pairs
        ]

    def append_rows(self, rows: KeyValues) -> None:
        """Append what `copy_rows` returned."""
        for layer, (keys, values) in enumerate(rows):
            self.update(keys, values, layer)

    def select(self, index: Tensor) -> KVStore:
        """A new store with the chosen batch rows, in their order."""
        chosen = KVStore(len(self._lengths), self._room)
        for layer, length in enumerate(self._lengths):
            if length:
                keys, values = self.rows(layer)
                chosen.update(keys[index], values[index], layer)
        return chosen

    def _write(self, buffer: Tensor | None, new: Tensor, layer: int, end: int) -> Tensor:
        if buffer is None:
            # Zeros, because a slot that is masked out must still hold numbers.
            buffer = new.new_zeros((*new.shape[:2], end + self._room, new.shape[3]))
        elif buffer.shape[2] < end:
            # Half as much again, so that decoding copies each row only a few times.
            grown = new.new_zeros((*new.shape[:2], end + max(self._room, end // 2), new.shape[3]))
            grown[:, :, : self._lengths[layer]] = buffer[:, :, : self._lengths[layer]]
            buffer = grown
        buffer[:, :, self._lengths[layer] : end] = new
        return buffer


class FrozenStore:
    """A store that answers with its rows and takes no new ones."""

    def __init__(self, store: LayerStore) -> None:
        self._store = store

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Ignore the given rows; return those stored."""
        return self._store.rows(layer_idx)
