"""Checked reading of a checkpoint's JSON and safetensors files."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from qzoom.errors import CheckpointError

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"


def read_json(path: Path) -> dict[str, Any]:
    """One JSON object.

    Raises:
        CheckpointError: If the file is missing, is not JSON, or holds something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path.name} is missing from {path.parent}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not readable JSON: {error}") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} must hold a JSON object, not a {type(value).__name__}")
    return value


def read_optional_json(path: Path) -> dict[str, Any]:
    """One JSON object, or an empty one if the file does not exist."""
    return read_json(path) if path.exists() else {}


def tensor_files(folder: Path) -> dict[str, Path]:
    """Which file holds each tensor of a single or sharded checkpoint.

    Raises:
        CheckpointError: If weights are missing, unreadable, or differ from their index.
    """
    single, index = folder / WEIGHTS_FILE, folder / INDEX_FILE
    if single.exists():
        return dict.fromkeys(tensor_names(single), single)
    if index.exists():
        return _sharded_files(index)
    pickles = sorted(path.name for path in folder.glob("*.bin")) or sorted(
        path.name for path in folder.glob("*.pt*")
    )
    if pickles:
        raise CheckpointError(
            f"{folder} holds only pickled weights ({pickles[0]}); convert them to safetensors"
        )
    raise CheckpointError(f"no {WEIGHTS_FILE} and no {INDEX_FILE} in {folder}")


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write one file, readable by whom the process lets read its files.

    safetensors alone would make it private, whatever the umask says.

    Raises:
        OSError: When it cannot be written, such as to a full disk.
    """
    path.touch()
    mode = path.stat().st_mode
    try:
        save_file(dict(tensors), path, metadata={"format": "pt"})
    except SafetensorError as error:
        raise _system_error(error, path) from None
    path.chmod(mode)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def read_shapes(files: Mapping[str, Path]) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor, from the file headers alone."""
    shapes: dict[str, tuple[int, ...]] = {}
    for path, names in _by_file(files):
        with _open(path, "cpu") as reader:
            shapes |= {name: tuple(reader.get_slice(name).get_shape()) for name in names}
    return shapes


def read_tensors(
    files: Mapping[str, Path], device: torch.device, dtype: torch.dtype | None
) -> Iterator[tuple[str, torch.Tensor]]:
    """Each tensor on `device`; floating point ones in `dtype`, as stored when that is None."""
    for path, names in _by_file(files):
        with _open(path, str(device)) as reader:
            for name in names:
                tensor = reader.get_tensor(name)
                yield name, tensor.to(dtype) if tensor.is_floating_point() and dtype else tensor


def _system_error(error: SafetensorError, path: Path) -> OSError:
    """What the system said, which safetensors tells in its text alone."""
    code = re.search(r"\(os error (\d+)\)", str(error))
    if code is None:
        return OSError(f"cannot write {path}: {error}")
    return OSError(int(code[1]), os.strerror(int(code[1])), str(path))


def _sharded_files(index: Path) -> dict[str, Path]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index} has no weight_map; the index is damaged")
    files: dict[str, Path] = {}
    for file in sorted({str(value) for value in weight_map.values()}):
        path = _shard(index.parent, file)
        for name in tensor_names(path):
            if name in files:
                raise CheckpointError(f"tensor {name} is in both {files[name].name} and {file}")
            files[name] = path
    absent = [name for name, file in weight_map.items() if files.get(name) != index.parent / file]
    if absent:
        name = absent[0]
        raise CheckpointError(f"{INDEX_FILE} places {name} in {weight_map[name]}, which lacks it")
    return files


def _shard(folder: Path, file: str) -> Path:
    # An index comes with the download: its names must not lead out of the folder.
    is_plain = file == Path(file).name and "\\" not in file and file.endswith(".safetensors")
    if not is_plain:
        raise CheckpointError(
            f"{INDEX_FILE} names {file!r}, which is not a plain .safetensors file"
        )
    path = folder / file
    if not path.is_file():
        raise CheckpointError(f"shard {file} is missing from {folder}; download it again")
    return path


def tensor_names(path: Path) -> list[str]:
    """Names of a file's tensors.

    Raises:
        CheckpointError: If it is missing or damaged.
    """
    with _open(path, "cpu") as reader:
        return list(reader.keys())


def _open(path: Path, device: str) -> Any:
    try:
        return safe_open(path, framework="pt", device=device)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is not a readable safetensors file, perhaps cut short: {error}"
        ) from error


def _by_file(files: Mapping[str, Path]) -> list[tuple[Path, list[str]]]:
    grouped: dict[Path, list[str]] = {}
    for name, path in files.items():
        grouped.setdefault(path, []).append(name)
    return list(grouped.items())
