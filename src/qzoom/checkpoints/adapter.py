"""Adapters: zoom branches without their trunk, to be put on the trunk they were trained on.

A folder with `adapter.json` (which trunk, where the branches sit) and `adapter.safetensors`
(the branches' tensors under their published names). Branches that are the trunk's layers with
low-rank changes are stored as the changes alone.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError

from qzoom.checkpoints.files import (
    read_json,
    read_shapes,
    read_tensors,
    tensor_names,
    write_tensors,
)
from qzoom.checkpoints.fingerprint import trunk_fingerprint
from qzoom.checkpoints.inventory import split_tensors
from qzoom.checkpoints.loaded import LoadedCheckpoint
from qzoom.checkpoints.low_rank import restored_tensors, stored_shapes, stored_tensors
from qzoom.checkpoints.reference_format import (
    add_on_route,
    published_key,
    published_layout,
    route_key,
)
from qzoom.checkpoints.save import write_json
from qzoom.checkpoints.trunk import EMBEDDING, empty_add_on, expected_shapes, fill_add_on
from qzoom.errors import CheckpointError
from qzoom.zoom.config import ZoomConfig

WHOLE: Final = 1
"""Format of adapters whose branches are stored whole; `low_rank` names the others."""
LOW_RANK: Final = 2
SETTINGS: Final = "adapter.json"
WEIGHTS: Final = "adapter.safetensors"


def save_adapter(
    folder: str | Path, checkpoint: LoadedCheckpoint, *, revision: str | None = None
) -> Path:
    """Write a checkpoint's branches alone, whole or not at all.

    Args:
        folder: Must not exist, be empty, or hold an adapter, which is replaced.
        checkpoint: With branches; its `name` is recorded as the trunk's.
        revision: Of the trunk, where it came from a hub.

    Raises:
        CheckpointError: For a plain backbone, or a folder that holds something else.
    """
    if checkpoint.add_on is None:
        raise CheckpointError(f"{checkpoint.name} is a plain backbone; it has no branches to save")
    depth, layout = checkpoint.config.branch_depth, published_layout(checkpoint.family)
    stored, ranks = stored_tensors(checkpoint)
    tensors = {
        published_key(add_on_route(name), depth, layout): tensor.contiguous()
        for name, tensor in stored.items()
    }
    target = _free_target(folder)
    settings = _settings(checkpoint, revision, ranks)
    return _commit(target, lambda path: write_tensors(path, tensors), settings)


def copy_adapter(source: str | Path, folder: str | Path, config: ZoomConfig) -> Path:
    """Write an adapter again with other zoom settings; its weights stay as they are stored.

    Raises:
        CheckpointError: If `source` holds no adapter, or `folder` holds something else.
    """
    settings = _read_settings(Path(source).expanduser()) | {"zoom": config.to_hf_fields()}
    weights = Path(source).expanduser() / WEIGHTS
    return _commit(_free_target(folder), lambda path: shutil.copyfile(weights, path), settings)


def _free_target(folder: str | Path) -> Path:
    target = Path(folder).expanduser().absolute()
    if _holds_something_else(target):
        raise CheckpointError(f"{target} exists and holds no adapter; name another folder")
    return target


def _holds_something_else(target: Path) -> bool:
    """Whether it is neither free, nor an adapter, nor what a killed save leaves: no settings."""
    if not target.is_dir():
        return target.exists()
    names = {path.name for path in target.iterdir()}
    return SETTINGS not in names and not names <= {WEIGHTS}


def _commit(target: Path, write: Callable[[Path], object], settings: dict[str, Any]) -> Path:
    """Write weights and settings beside the target and move them there, the settings last."""
    # One name for all runs, so that the next one clears away what a killed one left.
    staging = target.parent / f".{target.name}.partial"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir(parents=True)
        write(staging / WEIGHTS)
        write_json(staging / SETTINGS, settings)
        target.mkdir(exist_ok=True)
        # Without its settings a half-replaced folder is no adapter.
        (target / SETTINGS).unlink(missing_ok=True)
        for name in (WEIGHTS, SETTINGS):
            os.replace(staging / name, target / name)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot write adapter {target}: {error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def with_adapter(checkpoint: LoadedCheckpoint, folder: str | Path) -> LoadedCheckpoint:
    """A trunk with an adapter's branches in place of its own, if it had any.

    Warns when the trunk's weights are not those that whole branches were trained on.

    Raises:
        CheckpointError: If the adapter is damaged, of another family, or does not fit the trunk, or
            holds changes to weights that this trunk does not have.
    """
    source = Path(folder).expanduser()
    settings = _read_settings(source)
    _check_format(source, settings, checkpoint)
    config = ZoomConfig.from_hf_config(settings["zoom"], checkpoint.family)
    embedding = checkpoint.trunk.get_parameter(EMBEDDING)
    add_on = empty_add_on(checkpoint.trunk, config, embedding.dtype)
    files = dict.fromkeys(tensor_names(source / WEIGHTS), source / WEIGHTS)
    routes = {key: route_key(key, config.branch_depth) for key in files}
    found = {route: key for key, route in routes.items()}
    ranks, names = settings.get("low_rank", {}), expected_shapes(add_on)
    shapes_by_name = stored_shapes(names, ranks, config.branch_depth)
    expected = {add_on_route(name): shape for name, shape in shapes_by_name.items()}
    if set(found) != set(expected):
        odd = sorted(route.name for route in set(found) ^ set(expected))[0]
        raise CheckpointError(f"{source}: tensor {odd} is missing or left over")
    shapes = read_shapes(files)
    for route, shape in expected.items():
        if shapes[found[route]] != shape:
            raise CheckpointError(
                f"{source}: tensor {found[route]} has shape {list(shapes[found[route]])}, this "
                f"trunk needs {list(shape)}; the adapter is for another trunk"
            )
    _check_trunk(source, settings, checkpoint, config)
    # Changes stay in the type they were trained in; whole weights take the trunk's.
    _, stored = split_tensors(read_tensors(files, embedding.device, None), routes)
    tensors, deltas = restored_tensors(names, stored, ranks, checkpoint.trunk, config)
    fill_add_on(add_on, {name: value.to(embedding.dtype) for name, value in tensors.items()})
    return dataclasses.replace(checkpoint, add_on=add_on, config=config, deltas=deltas)


def _settings(
    checkpoint: LoadedCheckpoint, revision: str | None, ranks: dict[str, int]
) -> dict[str, Any]:
    layers = _layers_read(checkpoint.config, ranks)
    return {
        "format": LOW_RANK if ranks else WHOLE,
        "family": checkpoint.family,
        "trunk": checkpoint.name,
        "trunk_revision": revision,
        "trunk_fingerprint": trunk_fingerprint(checkpoint.trunk, layers),
        "zoom": checkpoint.config.to_hf_fields(),
        **({"low_rank": ranks} if ranks else {}),
    }


def _read_settings(source: Path) -> dict[str, Any]:
    if not (source / SETTINGS).is_file():
        raise CheckpointError(f"{source} holds no {SETTINGS}; is it the folder of an adapter?")
    return read_json(source / SETTINGS)


def _layers_read(config: ZoomConfig, ranks: Mapping[str, int]) -> int:
    """Trunk layers that an adapter depends on: changes depend on the layers they change too."""
    return config.split_layer + (config.branch_depth if ranks else 0)


def _check_trunk(
    source: Path, settings: dict[str, Any], checkpoint: LoadedCheckpoint, config: ZoomConfig
) -> None:
    ranks = settings.get("low_rank", {})
    layers = _layers_read(config, ranks)
    if settings.get("trunk_fingerprint") == trunk_fingerprint(checkpoint.trunk, layers):
        return
    text = (
        f"adapter {source.name} was trained on {settings.get('trunk')!r}; the weights of "
        f"{checkpoint.name!r} differ below layer {layers}"
    )
    if ranks:
        raise CheckpointError(f"{text}, and it holds changes to them; load it on that trunk")
    warnings.warn(text, stacklevel=4)


def _check_format(source: Path, settings: dict[str, Any], checkpoint: LoadedCheckpoint) -> None:
    known = settings.get("format") in (WHOLE, LOW_RANK)
    if not known or not isinstance(settings.get("zoom"), dict) or not _are_ranks(settings):
        raise CheckpointError(
            f"{source / SETTINGS} has format {settings.get('format')!r} or is damaged; this qzoom "
            f"reads {WHOLE} and {LOW_RANK}"
        )
    if settings.get("family") != checkpoint.family:
        raise CheckpointError(
            f"adapter {source} is for {settings.get('family')!r}, {checkpoint.name} is "
            f"{checkpoint.family!r}"
        )


def _are_ranks(settings: dict[str, Any]) -> bool:
    """Whether branches are stored as changes just where the format says so."""
    ranks = settings.get("low_rank", {})
    if not isinstance(ranks, dict) or bool(ranks) != (settings["format"] == LOW_RANK):
        return False
    return all(type(rank) is int and rank >= 0 for rank in ranks.values())
