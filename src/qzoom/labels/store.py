"""Labels on disk: shards of safetensors and JSON lines, each committed whole.

A shard covers a fixed stretch of the input, so a run that was killed goes on with the next shard
and ends with the same files, and several processes may each take every n-th shard.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from qzoom.checkpoints.files import write_tensors
from qzoom.data.files import replacing
from qzoom.errors import CheckpointError
from qzoom.labels.jsonl import encode_row, refuse_other_settings

SETTINGS_FILE = "settings.json"


@dataclass(frozen=True)
class LabelRow:
    """What is known of one sample: `fields` as JSON, `tensors` by name."""

    fields: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


class LabelStore:
    """A folder of label shards, all made under the same settings."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Open a folder for writing, or make it.

        Raises:
            ConfigError: When the folder's shards were made under other settings.
        """
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / SETTINGS_FILE
        wanted = json.loads(json.dumps(settings))
        if path.is_file():
            found = json.loads(path.read_text(encoding="utf-8"))
            refuse_other_settings(f"{folder} holds labels made", "folder", found, wanted)
            return
        # Several processes may open a new folder at once, so none may share a draft.
        with replacing(path) as file:
            file.write((json.dumps(wanted, indent=2) + "\n").encode())

    def has(self, shard: int) -> bool:
        """Whether a shard is committed; its rows are written last."""
        return self._rows(shard).is_file()

    def write(self, shard: int, rows: Sequence[LabelRow]) -> None:
        """Commit a shard, whole or not at all."""
        tensors = {
            f"{index}.{name}": tensor.contiguous()
            for index, row in enumerate(rows)
            for name, tensor in row.tensors.items()
        }
        draft = self.folder / f".draft-{shard:05d}.safetensors"
        write_tensors(draft, tensors)
        os.replace(draft, _tensors_of(self._rows(shard)))
        with replacing(self._rows(shard), resumable=True) as file:
            file.writelines(encode_row(row.fields) for row in rows)

    def _rows(self, shard: int) -> Path:
        return self.folder / f"shard-{shard:05d}.jsonl"


def read_labels(folder: Path) -> Iterator[LabelRow]:
    """Rows of all committed shards in order; tensors of one row at a time are in memory.

    Raises:
        CheckpointError: When the folder holds no shard, or a shard is damaged.
    """
    shards = sorted(folder.glob("shard-*.jsonl"))
    if not shards:
        raise CheckpointError(f"{folder} holds no label shards; run 'qzoom label region' first")
    for path in shards:
        yield from _read_shard(path)


def read_settings(folder: Path) -> dict[str, Any]:
    """The settings the folder's labels were made under.

    Raises:
        CheckpointError: When there are none.
    """
    path = folder / SETTINGS_FILE
    if not path.is_file():
        raise CheckpointError(f"{folder} holds no {SETTINGS_FILE}; is it a folder of labels?")
    settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return settings


def _read_shard(path: Path) -> Iterator[LabelRow]:
    try:
        with safe_open(_tensors_of(path), "pt") as tensors:
            names: dict[str, list[str]] = {}
            for key in tensors.keys():  # noqa: SIM118 - not a mapping
                index, name = key.split(".", 1)
                names.setdefault(index, []).append(name)
            for index, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
                own = names.get(str(index), [])
                found = {name: tensors.get_tensor(f"{index}.{name}") for name in own}
                yield LabelRow(json.loads(line), found)
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        first = str(error).splitlines()[0]
        raise CheckpointError(f"label shard {path} is damaged: {first}; delete it") from None


def _tensors_of(rows: Path) -> Path:
    return rows.with_suffix(".safetensors")
