"""Labels on disk: shards of safetensors and JSON lines, each committed whole.

A shard covers a fixed stretch of the input, so a run that was killed goes on with the next shard
and ends with the same files, and several processes may each take every n-th shard. What a killed
run was writing lies under hidden names that the next one takes over.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from qzoom.checkpoints.files import read_json, write_tensors
from qzoom.data.files import replacing
from qzoom.errors import CheckpointError, DataError
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
            CheckpointError: When its settings are damaged.
        """
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / SETTINGS_FILE
        wanted = json.loads(json.dumps(settings))
        if path.is_file():
            found = read_json(path)
            refuse_other_settings(f"{folder} holds labels made", "folder", found, wanted)
            return
        # Several processes may open a new folder at once, so none may share a draft.
        with replacing(path) as file:
            file.write((json.dumps(wanted, indent=2) + "\n").encode())

    def has(self, shard: int) -> bool:
        """Whether a shard is committed; its rows are written last."""
        return self._rows(shard).is_file()

    def check(self, shard: int, wanted: Sequence[str]) -> None:
        """Refuse to keep a committed shard whose rows have other ids.

        Raises:
            CheckpointError: When the shard is damaged.
            DataError: When it holds other rows.
        """
        path = self._rows(shard)
        with naming_damage(path):
            found = [str(row["id"]) for row in read_shard_rows(path)]
        if found != list(wanted):
            raise DataError(
                f"shard {shard} of {self.folder} holds {len(found)} questions from {found[:1]}, "
                f"not {len(wanted)} from {list(wanted[:1])}; give the same records and shard size, "
                "or another folder"
            )

    def write(self, shard: int, rows: Sequence[LabelRow]) -> None:
        """Commit a shard, whole or not at all.

        Raises:
            OSError: When it cannot be written, such as to a full disk.
        """
        tensors = {
            f"{index}.{name}": tensor.contiguous()
            for index, row in enumerate(rows)
            for name, tensor in row.tensors.items()
        }
        draft = self.folder / f".draft-{shard:05d}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        try:
            write_tensors(draft / "tensors", tensors)
            os.replace(draft / "tensors", tensors_of(self._rows(shard)))
        finally:
            shutil.rmtree(draft, ignore_errors=True)
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
    return read_json(path)


def read_shard_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Fields of a shard's rows in order; errors are those of a file that is no JSON."""
    # Bytes: a text may hold characters at which only `str` breaks lines.
    for line in path.read_bytes().splitlines():
        yield json.loads(line)


@contextmanager
def naming_damage(rows: Path) -> Iterator[None]:
    """Turn what reading a damaged shard raises into one line that names it.

    Raises:
        CheckpointError: Instead.
    """
    try:
        yield
    except (OSError, SafetensorError, LookupError, TypeError, ValueError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"label shard {rows} is damaged: {first}; delete it") from None


def tensors_of(rows: Path) -> Path:
    """The file of a shard's tensors."""
    return rows.with_suffix(".safetensors")


def _read_shard(path: Path) -> Iterator[LabelRow]:
    with naming_damage(path), safe_open(tensors_of(path), "pt") as tensors:
        names: dict[str, list[str]] = {}
        for key in tensors.keys():  # noqa: SIM118 - not a mapping
            index, name = key.split(".", 1)
            names.setdefault(index, []).append(name)
        for index, fields in enumerate(read_shard_rows(path)):
            own = names.get(str(index), [])
            yield LabelRow(fields, {n: tensors.get_tensor(f"{index}.{n}") for n in own})
