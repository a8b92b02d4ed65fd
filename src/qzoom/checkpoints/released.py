"""The published checkpoints and the backbones whose tokenizer and image processor they use."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# Fine-tuned repositories may carry a broken chat template, so the published evaluation takes
# tokenizer, template and image settings from the base model.
RELEASED: Mapping[str, str] = MappingProxyType(
    {
        "YuhengSSS/Q-Zoom-Qwen2.5VL-3B": "Qwen/Qwen2.5-VL-3B-Instruct",
        "YuhengSSS/Q-Zoom-Qwen2.5VL-7B": "Qwen/Qwen2.5-VL-7B-Instruct",
        "YuhengSSS/Q-Zoom-Qwen3VL-4B": "Qwen/Qwen3-VL-4B-Instruct",
    }
)


def base_repository(repo_id: str) -> str | None:
    """Hub id of the backbone behind a published checkpoint, or None for any other id."""
    wanted = repo_id.casefold()
    return next((base for name, base in RELEASED.items() if name.casefold() == wanted), None)
