"""Loading models by name."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from qzoom.checkpoints.load import read_checkpoint
from qzoom.zoom.model import ZoomModel

EMBEDDED = "qzoom-tiny"


def embedded_folder() -> Path:
    """Folder of the embedded default model."""
    return Path(str(files("qzoom"))) / "assets" / EMBEDDED


def load(
    name: str | Path | None = None,
    *,
    dtype: Any = None,
    device: Any = None,
    attn_implementation: str | None = None,
    revision: str | None = None,
) -> ZoomModel:
    """Load a model.

    Args:
        name: folder or hub id of a zooming checkpoint or a plain backbone; the embedded default
            `qzoom-tiny` when left out.
        dtype: torch type or its name; default: as stored.
        device: where to put it; default: the CPU.
        attn_implementation: "sdpa" (default) or "eager".
        revision: branch, tag or commit of a hub id.

    Raises:
        CheckpointError: when it cannot be found or read.
    """
    source = embedded_folder() if name in (None, EMBEDDED) else name
    assert source is not None
    checkpoint = read_checkpoint(
        source,
        dtype=dtype,
        device=device,
        attn_implementation=attn_implementation,
        revision=revision,
    )
    return ZoomModel(checkpoint)
