"""Loading models by name."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from qzoom.checkpoints.adapter import with_adapter
from qzoom.checkpoints.load import read_checkpoint
from qzoom.zoom.model import ZoomModel

if TYPE_CHECKING:
    import torch

EMBEDDED = "qzoom-tiny"


def embedded_folder() -> Path:
    """Folder of the embedded default model."""
    return Path(str(files("qzoom"))) / "assets" / EMBEDDED


def load(
    name: str | Path | None = None,
    *,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
    attn_implementation: str | None = None,
    revision: str | None = None,
    adapter: str | Path | None = None,
) -> ZoomModel:
    """Load a model.

    Args:
        name: folder or hub id of a zooming checkpoint or a plain backbone; the embedded default
            `qzoom-tiny` when left out.
        dtype: torch type or its name; default: as stored, and float32 for the embedded model,
            which is small enough to be exact.
        device: where to put it; default: the CPU.
        attn_implementation: "sdpa" (default) or "eager".
        revision: branch, tag or commit of a hub id.
        adapter: folder of zoom branches that take the place of the checkpoint's own.

    Raises:
        CheckpointError: when it cannot be found or read.
        ConfigError: when it asks for something unsupported, or dtype, device or
            attn_implementation cannot be used here.
    """
    embedded = name is None or name == EMBEDDED
    checkpoint = read_checkpoint(
        embedded_folder() if name is None or embedded else name,
        dtype="float32" if embedded and dtype is None else dtype,
        device=device,
        attn_implementation=attn_implementation,
        revision=revision,
    )
    return ZoomModel(checkpoint if adapter is None else with_adapter(checkpoint, adapter))
