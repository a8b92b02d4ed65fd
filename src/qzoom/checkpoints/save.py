"""Write a checkpoint folder in the published format, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import SafetensorError
from torch import Tensor

from qzoom.checkpoints.files import INDEX_FILE, WEIGHTS_FILE, write_tensors
from qzoom.checkpoints.loaded import LoadedCheckpoint
from qzoom.checkpoints.reference_format import (
    Route,
    add_on_route,
    published_key,
    published_layout,
)
from qzoom.checkpoints.trunk import expected_shapes
from qzoom.errors import CheckpointError

_CONFIG_FILE = "config.json"


def save_checkpoint(
    folder: str | Path,
    checkpoint: LoadedCheckpoint,
    *,
    max_shard_size: int | str = "5GB",
    overwrite: bool = False,
) -> Path:
    """Write all parts of `checkpoint`; `read_checkpoint` gives back identical numbers.

    Everything is first written into a hidden sibling folder and then moved into place, config.json
    last, so that an interrupted save never passes for a checkpoint. Tensors keep their published
    names; the dead weights of the last region layer and a tied head are not written.

    Args:
        folder: Created if need be. An existing checkpoint in it is replaced.
        checkpoint: As read, or changed with `dataclasses.replace`.
        max_shard_size: Largest weights file, in bytes or as "5GB".
        overwrite: Also write into a folder that holds something else; its files stay.

    Returns:
        The folder.

    Raises:
        CheckpointError: If the folder holds something else or cannot be written.
    """
    target = Path(folder).expanduser().absolute()
    _check_target(target, overwrite)
    staging = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.partial"
    try:
        staging.mkdir(parents=True)
        _write_weights(staging, _published_tensors(checkpoint), max_shard_size)
        _write_settings(staging, checkpoint)
        _move_into_place(staging, target)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot write checkpoint {target}: {error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def _check_target(target: Path, overwrite: bool) -> None:
    if target.exists() and not target.is_dir():
        raise CheckpointError(f"{target} is a file; name a folder")
    is_free = not target.exists() or not any(target.iterdir())
    if not is_free and not overwrite and not (target / _CONFIG_FILE).exists():
        raise CheckpointError(
            f"{target} is not empty and holds no checkpoint; pass overwrite=True or another folder"
        )


def _published_tensors(checkpoint: LoadedCheckpoint) -> dict[str, Tensor]:
    layout = published_layout(checkpoint.family)
    depth = checkpoint.config.branch_depth
    tensors: dict[str, Tensor] = {}
    state = checkpoint.trunk.state_dict()
    for name in expected_shapes(checkpoint.trunk):
        tensors[published_key(Route("trunk", name), depth, layout)] = state[name]
    if checkpoint.add_on is not None:
        for name, tensor in checkpoint.add_on.state_dict().items():
            tensors[published_key(add_on_route(name), depth, layout)] = tensor
    return tensors


def _write_weights(folder: Path, tensors: dict[str, Tensor], max_shard_size: int | str) -> None:
    try:
        split = split_torch_state_dict_into_shards(tensors, max_shard_size=max_shard_size)
    except ValueError as error:
        raise CheckpointError(f"max_shard_size={max_shard_size!r}: {error}") from None
    for file, names in split.filename_to_tensors.items():
        shard = {name: tensors[name].contiguous() for name in names}
        write_tensors(folder / file, shard)
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        write_json(folder / INDEX_FILE, index)


def _write_settings(folder: Path, checkpoint: LoadedCheckpoint) -> None:
    write_json(folder / _CONFIG_FILE, _config_fields(checkpoint))
    generation = checkpoint.generation_config.to_json_string(use_diff=True)
    write_json(folder / "generation_config.json", json.loads(generation))
    if checkpoint.image_settings:
        write_json(folder / "preprocessor_config.json", checkpoint.image_settings)
    if checkpoint.tokenizer is not None:
        checkpoint.tokenizer.save_pretrained(folder)


def _config_fields(checkpoint: LoadedCheckpoint) -> dict[str, Any]:
    """config.json of a checkpoint: the trunk's own fields and the published zoom fields."""
    fields: dict[str, Any] = json.loads(checkpoint.trunk.config.to_json_string(use_diff=True))
    embedding = checkpoint.trunk.get_input_embeddings().weight
    fields["dtype"] = str(embedding.dtype).removeprefix("torch.")
    fields["architectures"] = [type(checkpoint.trunk).__name__]
    return fields | checkpoint.config.to_hf_fields()


def _move_into_place(staging: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    # Without config.json a half-replaced folder is no checkpoint, so it goes first and comes last.
    (target / _CONFIG_FILE).unlink(missing_ok=True)
    for stale in _stale_weights(target):
        stale.unlink()
    names = sorted(path.name for path in staging.iterdir() if path.name != _CONFIG_FILE)
    for name in [*names, _CONFIG_FILE]:
        os.replace(staging / name, target / name)


def _stale_weights(target: Path) -> list[Path]:
    shards = target.glob("model-*-of-*.safetensors")
    return [*shards, *(p for p in (target / WEIGHTS_FILE, target / INDEX_FILE) if p.exists())]


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write one JSON object with sorted keys."""
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
