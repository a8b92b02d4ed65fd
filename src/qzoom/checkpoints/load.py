"""Read a checkpoint: published format, plain backbone or our own, from a folder or the hub."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from qzoom.checkpoints.files import read_json, read_optional_json, read_tensors, tensor_files
from qzoom.checkpoints.hf_config import (
    as_dtype,
    declared_dtype,
    family_of,
    trunk_config,
    usable_device,
)
from qzoom.checkpoints.inventory import check_inventory, live_routes, split_tensors
from qzoom.checkpoints.loaded import LoadedCheckpoint
from qzoom.checkpoints.locate import SETTINGS_PATTERNS, checkpoint_folder, download, is_local
from qzoom.checkpoints.reference_format import has_zoom_keys, published_layout
from qzoom.checkpoints.released import base_repository
from qzoom.checkpoints.tokenizers import read_tokenizer
from qzoom.checkpoints.trunk import empty_add_on, empty_trunk, fill_add_on, fill_trunk
from qzoom.errors import CheckpointError
from qzoom.zoom.config import ZoomConfig

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel


def read_checkpoint(
    path_or_id: str | Path,
    *,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
    attn_implementation: str | None = None,
    revision: str | None = None,
) -> LoadedCheckpoint:
    """Read trunk, branches and settings; every tensor must be accounted for.

    Tensor names and config fields of the published format were taken from the reference
    implementation (YuHengsss/Q-Zoom, f062af7).

    Args:
        path_or_id: A folder, or a hub id; a folder that exists wins.
        dtype: Of all floating point weights. None or "auto" keeps what config.json
            declares, or float32.
        device: Where the weights go; None is the CPU.
        attn_implementation: As in transformers; None lets transformers choose.
        revision: Branch, tag or commit of a hub repository.

    Raises:
        CheckpointError: If files are missing or damaged, or a tensor is missing, left over or of
            the wrong shape.
        ConfigError: If config.json asks for an unsupported zoom variant, or dtype, device or
            attn_implementation cannot be used here.
    """
    target = usable_device(device)
    folder = checkpoint_folder(path_or_id, revision)
    name = (folder.resolve().name or str(folder)) if is_local(path_or_id) else str(path_or_id)
    settings_folder = _settings_folder(path_or_id, folder)
    config = read_json(folder / "config.json")
    family = family_of(config)
    zoom = ZoomConfig.from_hf_config(config, family)
    files = tensor_files(folder)
    _check_zoom_keys(files, zoom)
    wanted = None if dtype == "auto" else dtype
    weights_dtype = as_dtype(wanted or declared_dtype(config) or torch.float32)
    trunk = empty_trunk(trunk_config(config, family), family, weights_dtype, attn_implementation)
    add_on = empty_add_on(trunk, zoom, weights_dtype) if zoom.enabled else None
    routes = live_routes(files, zoom.branch_depth)
    check_inventory(files, routes, trunk, add_on, zoom.branch_depth, published_layout(family))
    live = {key: files[key] for key in routes}
    trunk_tensors, branch_tensors = split_tensors(read_tensors(live, target, weights_dtype), routes)
    fill_trunk(trunk, trunk_tensors)
    if add_on is not None:
        fill_add_on(add_on, branch_tensors)
    return LoadedCheckpoint(
        trunk=trunk,
        add_on=add_on,
        config=zoom,
        image_settings=read_optional_json(settings_folder / "preprocessor_config.json"),
        tokenizer=read_tokenizer(settings_folder),
        family=family,
        name=name,
        generation_config=_read_generation_config(folder, trunk),
    )


def _settings_folder(path_or_id: str | Path, folder: Path) -> Path:
    base = None if is_local(path_or_id) else base_repository(str(path_or_id))
    return folder if base is None else download(base, SETTINGS_PATTERNS)


def _check_zoom_keys(keys: Iterable[str], zoom: ZoomConfig) -> None:
    if not zoom.enabled and has_zoom_keys(keys):
        raise CheckpointError(
            "the weights hold zoom branches but config.json does not enable them; "
            "set enable_twig, twig_K and twig_T"
        )


def _read_generation_config(folder: Path, trunk: PreTrainedModel) -> GenerationConfig:
    from transformers import GenerationConfig

    fields: dict[str, Any] = read_optional_json(folder / "generation_config.json")
    if fields:
        trunk.generation_config = GenerationConfig.from_dict(fields)
    config: GenerationConfig = trunk.generation_config
    return config
