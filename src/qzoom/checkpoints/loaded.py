"""What reading a checkpoint yields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

    from qzoom.checkpoints.low_rank import LowRank
    from qzoom.zoom.branches import ZoomAddOn
    from qzoom.zoom.config import Family, ZoomConfig


@dataclass(frozen=True, eq=False)
class LoadedCheckpoint:
    """The parts of a checkpoint, each the installed transformers' own type where there is one.

    Args:
        trunk: `Qwen3VLForConditionalGeneration` or `Qwen2_5_VLForConditionalGeneration`, in eval
            mode and without any zoom weights.
        add_on: The branches, in the trunk's dtype and on its device; None for a plain backbone.
        config: Zoom settings; `config.enabled` says whether `add_on` is there.
        image_settings: preprocessor_config.json as a dict, empty when the file is absent.
        tokenizer: None for checkpoints that work on token ids alone.
        family: `model_type` of the trunk.
        name: Folder name or hub id, for messages and records.
        deltas: Branches that were made of the trunk's layers and low-rank changes; only those whose
            weights still are just that are saved so.
        generation_config: generation_config.json, or the trunk's default; `trunk` holds it too.
    """

    trunk: PreTrainedModel
    add_on: ZoomAddOn | None
    config: ZoomConfig
    image_settings: dict[str, Any]
    tokenizer: PreTrainedTokenizerBase | None
    family: Family
    name: str
    generation_config: GenerationConfig
    deltas: Mapping[str, LowRank] = field(default_factory=dict)
