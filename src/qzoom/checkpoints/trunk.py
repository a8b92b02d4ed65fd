"""Build modules without allocating, then give them a checkpoint's tensors."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from qzoom.errors import CheckpointError, ConfigError
from qzoom.zoom.branches import ZoomAddOn
from qzoom.zoom.config import Family, ZoomConfig

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

_HEAD = "lm_head.weight"
EMBEDDING = "model.language_model.embed_tokens.weight"
"""Name of the input embedding in a trunk."""


def empty_trunk(
    config: PreTrainedConfig, family: Family, dtype: torch.dtype, attn_implementation: str | None
) -> PreTrainedModel:
    """The trunk on the meta device: shapes and no memory.

    Raises:
        ConfigError: If this installation cannot run `attn_implementation`.
    """
    from transformers import Qwen2_5_VLForConditionalGeneration, Qwen3VLForConditionalGeneration

    options: dict[str, Any] = {"dtype": dtype}
    if attn_implementation is not None:
        options["attn_implementation"] = attn_implementation
    model_class: Any = (
        Qwen3VLForConditionalGeneration
        if family == "qwen3_vl"
        else Qwen2_5_VLForConditionalGeneration
    )
    try:
        with torch.device("meta"):
            model: PreTrainedModel = model_class._from_config(config, **options)
    except (ImportError, ValueError) as error:
        detail = " ".join(str(error).split())
        raise ConfigError(
            f"attn_implementation={attn_implementation!r} cannot be used: {detail}"
        ) from error
    return model


def empty_add_on(trunk: PreTrainedModel, config: ZoomConfig, dtype: torch.dtype) -> ZoomAddOn:
    """The branches on the meta device, sharing the trunk's text configuration object."""
    with torch.device("meta"):
        return ZoomAddOn(text_config(trunk), config).to(dtype)


def text_config(trunk: PreTrainedModel) -> PreTrainedConfig:
    """The configuration object that the trunk's text layers hold."""
    language_model: Any = trunk.get_submodule("model.language_model")
    config: PreTrainedConfig = language_model.config
    return config


def expected_shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor a checkpoint must bring, a tied head left out."""
    shapes = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    if is_tied_trunk(module):
        shapes.pop(_HEAD, None)
    return shapes


def is_tied_trunk(module: nn.Module) -> bool:
    """Whether this is a trunk whose output head is its input embedding."""
    return bool(getattr(getattr(module, "config", None), "tie_word_embeddings", False))


def fill_trunk(trunk: PreTrainedModel, tensors: dict[str, Tensor]) -> None:
    """Give an empty trunk its tensors, retie the head and compute the rotary frequencies.

    A copy of a tied head in the file is accepted if it equals the embedding.

    Raises:
        CheckpointError: If config.json says tied and the file's head differs from the embedding.
    """
    if is_tied_trunk(trunk):
        head = tensors.pop(_HEAD, None)
        if head is not None and not torch.equal(head, tensors[EMBEDDING]):
            raise CheckpointError(
                f"{_HEAD} differs from the embedding although config.json ties them; "
                "set tie_word_embeddings to false"
            )
    trunk.load_state_dict(tensors, strict=False, assign=True)
    trunk.tie_weights()
    _compute_buffers(trunk, tensors[EMBEDDING].device)
    trunk.train(False)


def fill_add_on(add_on: ZoomAddOn, tensors: dict[str, Tensor]) -> None:
    """Give empty branches their tensors."""
    add_on.load_state_dict(tensors, strict=True, assign=True)
    add_on.train(False)


def _compute_buffers(trunk: nn.Module, device: torch.device) -> None:
    # Rotary frequencies are in no file; each module computes its own in float32 when built.
    for module in trunk.modules():
        names = [name for name, value in module.named_buffers(recurse=False) if value.is_meta]
        if not names:
            continue
        rebuilt: nn.Module = type(module)(module.config)
        for name in names:
            setattr(module, name, rebuilt.get_buffer(name).to(device))
    everything = itertools.chain(trunk.named_parameters(), trunk.named_buffers())
    left = next((name for name, value in everything if value.is_meta), None)
    if left is not None:
        raise CheckpointError(f"{left} is in no file and cannot be computed by this transformers")
