"""Adapters: zoom branches without their trunk, to be put on the trunk they were trained on.

A folder with `adapter.json` (which trunk, where the branches sit) and `adapter.safetensors`
(the branches' tensors under their published names).
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from safetensors import SafetensorError

from qzoom.checkpoints.files import (
    read_json,
    read_shapes,
    read_tensors,
    tensor_names,
    write_tensors,
)
from qzoom.checkpoints.inventory import split_tensors
from qzoom.checkpoints.loaded import LoadedCheckpoint
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

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FORMAT: Final = 1
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
    target = Path(folder).expanduser().absolute()
    if checkpoint.add_on is None:
        raise CheckpointError(f"{checkpoint.name} is a plain backbone; it has no branches to save")
    if _holds_something_else(target):
        raise CheckpointError(f"{target} exists and holds no adapter; name another folder")
    # One name for all runs, so that the next one clears away what a killed one left.
    staging = target.parent / f".{target.name}.partial"
    shutil.rmtree(staging, ignore_errors=True)
    depth, layout = checkpoint.config.branch_depth, published_layout(checkpoint.family)
    tensors = {
        published_key(add_on_route(name), depth, layout): tensor.contiguous()
        for name, tensor in checkpoint.add_on.state_dict().items()
    }
    try:
        staging.mkdir(parents=True)
        write_tensors(staging / WEIGHTS, tensors)
        write_json(staging / SETTINGS, _settings(checkpoint, revision))
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

    Warns when the trunk's weights are not those the adapter was trained on.

    Raises:
        CheckpointError: If the adapter is damaged, of another family, or does not fit the trunk.
    """
    source = Path(folder).expanduser()
    if not (source / SETTINGS).is_file():
        raise CheckpointError(f"{source} holds no {SETTINGS}; is it the folder of an adapter?")
    settings = read_json(source / SETTINGS)
    _check_format(source, settings, checkpoint)
    config = ZoomConfig.from_hf_config(settings["zoom"], checkpoint.family)
    embedding = checkpoint.trunk.get_parameter(EMBEDDING)
    add_on = empty_add_on(checkpoint.trunk, config, embedding.dtype)
    files = dict.fromkeys(tensor_names(source / WEIGHTS), source / WEIGHTS)
    routes = {key: route_key(key, config.branch_depth) for key in files}
    found = {route: key for key, route in routes.items()}
    expected = {add_on_route(name): shape for name, shape in expected_shapes(add_on).items()}
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
    _, tensors = split_tensors(read_tensors(files, embedding.device, embedding.dtype), routes)
    fill_add_on(add_on, tensors)
    if settings.get("trunk_fingerprint") != trunk_fingerprint(checkpoint.trunk, config.split_layer):
        warnings.warn(
            f"adapter {source.name} was trained on {settings.get('trunk')!r}; the weights of "
            f"{checkpoint.name!r} differ below layer {config.split_layer}",
            stacklevel=3,
        )
    return dataclasses.replace(checkpoint, add_on=add_on, config=config)


def trunk_fingerprint(trunk: PreTrainedModel, split_layer: int) -> str:
    """Tells trunks apart whose branches would read other features: a hash of a sample of weights.

    Taken from the layers below the split in bfloat16, so that the type a trunk is loaded in does
    not matter.
    """
    digest = hashlib.sha256()
    layers: Any = trunk.get_submodule("model.language_model.layers")
    for layer in layers[:split_layer]:
        for weight in (layer.input_layernorm.weight, layer.mlp.down_proj.weight[0]):
            sample = weight.detach().to(torch.bfloat16).cpu().view(torch.int16)
            digest.update(sample.numpy().tobytes())
    return digest.hexdigest()


def _holds_something_else(target: Path) -> bool:
    """Whether it is neither free, nor an adapter, nor what a killed save leaves: no settings."""
    if not target.is_dir():
        return target.exists()
    names = {path.name for path in target.iterdir()}
    return SETTINGS not in names and not names <= {WEIGHTS}


def _settings(checkpoint: LoadedCheckpoint, revision: str | None) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "family": checkpoint.family,
        "trunk": checkpoint.name,
        "trunk_revision": revision,
        "trunk_fingerprint": trunk_fingerprint(checkpoint.trunk, checkpoint.config.split_layer),
        "zoom": checkpoint.config.to_hf_fields(),
    }


def _check_format(source: Path, settings: dict[str, Any], checkpoint: LoadedCheckpoint) -> None:
    if settings.get("format") != FORMAT or not isinstance(settings.get("zoom"), dict):
        raise CheckpointError(
            f"{source / SETTINGS} has format {settings.get('format')!r}; this qzoom reads {FORMAT}"
        )
    if settings.get("family") != checkpoint.family:
        raise CheckpointError(
            f"adapter {source} is for {settings.get('family')!r}, {checkpoint.name} is "
            f"{checkpoint.family!r}"
        )
