"""Attention maps in label shards: the layout of `qzoom label`, written without torch.

A shard is `shard-NNNNN.jsonl` and `shard-NNNNN.safetensors`; tensor `i.attention` and `i.sink`
belong to line `i` (from 0) of the first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from qzoom.data.jsonl import write_objects

ROWS_PER_SHARD: Final = 512

Map = NDArray[np.float32]


class ShardWriter:
    """Gathers rows and writes a shard whenever enough have come; ends with `flush`."""

    def __init__(self, folder: Path, rows_per_shard: int = ROWS_PER_SHARD) -> None:
        self._folder = folder
        self._rows_per_shard = rows_per_shard
        self._shard = 0
        self._rows: list[dict[str, Any]] = []
        self._tensors: dict[str, Map] = {}

    def add(self, fields: dict[str, Any], maps: dict[str, Map]) -> None:
        """Take a row with its maps, of shape `(rows, cols)`, by name."""
        for name, values in maps.items():
            self._tensors[f"{len(self._rows)}.{name}"] = np.ascontiguousarray(values)
        self._rows.append(fields)
        if len(self._rows) == self._rows_per_shard:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting as one shard, its rows last."""
        if not self._rows:
            return
        path = self._folder / f"shard-{self._shard:05d}.jsonl"
        save_file(self._tensors, path.with_suffix(".safetensors"))
        write_objects(path, self._rows)
        self._shard, self._rows, self._tensors = self._shard + 1, [], {}
