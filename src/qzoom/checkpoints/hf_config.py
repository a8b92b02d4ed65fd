"""Build the trunk's configuration object from a config.json with the reference's odd fields."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, cast, get_args

import torch

from qzoom.errors import CheckpointError, ConfigError
from qzoom.zoom.config import Family

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_ZOOM_PREFIXES = ("twig_", "roi_", "high_res_")
_ZOOM_FIELDS = ("enable_twig", "enable_high_res", "reuse_src_pos", "add_noise_to_roi", "qzoom")
_FOREIGN_FIELDS = ("auto_map", "_name_or_path", "transformers_version", "min_pixels", "max_pixels")
# The reference copies these from the top level into text_config.
_TEXT_DUPLICATES = (
    "mm_config",
    "vision_config",
    "image_token_id",
    "video_token_id",
    "vision_start_token_id",
    "vision_end_token_id",
)


def family_of(config: dict[str, Any]) -> Family:
    """The family that config.json declares.

    Raises:
        CheckpointError: If there is no `model_type` or it is not supported.
    """
    known = get_args(Family)
    model_type = config.get("model_type")
    if model_type not in known:
        raise CheckpointError(
            f"config.json has model_type {model_type!r}; supported: {', '.join(known)}"
        )
    return cast(Family, model_type)


def trunk_config(config: dict[str, Any], family: Family) -> PreTrainedConfig:
    """The installed configuration class of `family`, filled from a published config.json.

    Raises:
        CheckpointError: If the weights are quantised or a field has a wrong type.
    """
    from transformers import Qwen2_5_VLConfig, Qwen3VLConfig

    if config.get("quantization_config"):
        raise CheckpointError("config.json has a quantization_config; pass unquantised weights")
    clean = _without_zoom_fields(copy.deepcopy(config))
    text = clean.get("text_config")
    if isinstance(text, dict):
        text = _without_zoom_fields(text)
        clean["text_config"] = {k: v for k, v in text.items() if k not in _TEXT_DUPLICATES}
    clean["tie_word_embeddings"] = is_tied(config)
    if family == "qwen2_5_vl":
        _drop_foreign_default_ids(clean if not isinstance(text, dict) else clean["text_config"])
    config_class = Qwen3VLConfig if family == "qwen3_vl" else Qwen2_5_VLConfig
    try:
        return config_class.from_dict(clean)
    except Exception as error:  # strict field checks raise types of their own
        detail = " ".join(str(error).split())
        raise CheckpointError(
            f"config.json does not fit {config_class.__name__}: {detail}"
        ) from error


def is_tied(config: dict[str, Any]) -> bool:
    """Whether output head and input embedding are one tensor: declared at either level."""
    text = config.get("text_config")
    levels = [config, text] if isinstance(text, dict) else [config]
    return any(bool(level.get("tie_word_embeddings", False)) for level in levels)


def declared_dtype(config: dict[str, Any]) -> torch.dtype | None:
    """The dtype that config.json names, under either of its names, at either level."""
    text = config.get("text_config")
    for level in (config, text if isinstance(text, dict) else {}):
        name = level.get("dtype") or level.get("torch_dtype")
        if name is not None:
            return as_dtype(name)
    return None


def as_dtype(value: object) -> torch.dtype:
    """A torch dtype given as such or by name ("bfloat16").

    Raises:
        ConfigError: If it is no floating point dtype.
    """
    dtype = getattr(torch, value, None) if isinstance(value, str) else value
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ConfigError(f"dtype must be float32, bfloat16 or float16, got {value!r}")
    return dtype


def usable_device(value: torch.device | str | None) -> torch.device:
    """A device that tensors can be put on; None is the CPU.

    Raises:
        ConfigError: If the name is unknown or this machine has no such device.
    """
    try:
        device = torch.device("cpu" if value is None else value)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        detail = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"device {str(value)!r} cannot be used: {detail}") from error
    return device


def _without_zoom_fields(fields: dict[str, Any]) -> dict[str, Any]:
    dropped = (*_ZOOM_FIELDS, *_FOREIGN_FIELDS)
    return {
        name: value
        for name, value in fields.items()
        if name not in dropped and not name.startswith(_ZOOM_PREFIXES)
    }


def _drop_foreign_default_ids(text: dict[str, Any]) -> None:
    # The class defaults are ids of the large vocabulary; a small one cannot hold them.
    if text.get("vocab_size", 0) <= 151645:
        text.setdefault("bos_token_id", None)
        text.setdefault("eos_token_id", None)
