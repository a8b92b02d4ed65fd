"""Which driver runs which model."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from transformers import PreTrainedModel

from qzoom.backbones.base import Backbone
from qzoom.backbones.qwen2_5_vl import Qwen25VLBackbone
from qzoom.backbones.qwen3_vl import Qwen3VLBackbone
from qzoom.errors import ConfigError

DRIVERS: Final = MappingProxyType[str, type[Backbone]](
    {"qwen3_vl": Qwen3VLBackbone, "qwen2_5_vl": Qwen25VLBackbone}
)


def backbone_for(trunk: PreTrainedModel) -> Backbone:
    """The driver of a loaded transformers model.

    Raises:
        ConfigError: when no driver knows the model type.
    """
    model_type = trunk.config.model_type
    if model_type not in DRIVERS:
        raise ConfigError(f"no driver for model_type {model_type!r}; known: {', '.join(DRIVERS)}")
    return DRIVERS[model_type](trunk)
