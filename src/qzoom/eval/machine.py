"""What a report says about where it was made."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch
import transformers

from qzoom import __version__
from qzoom.checkpoints.fingerprint import weights_fingerprint
from qzoom.zoom.model import ZoomModel


def machine(device: str = "cpu") -> dict[str, Any]:
    """Device, hardware, threads of torch and versions."""
    return {
        "device": device,
        "hardware": _hardware(device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }


def run_of(
    model: ZoomModel, seed: int, source: str | None = None, adapter: str | None = None
) -> dict[str, Any]:
    """What result rows say about the run: versions, weights, hardware, type, kernel, batch, seed.

    Args:
        source: folder or hub id that the model was loaded from; None is the embedded one.
        adapter: folder of its zoom branches, where they are not its own.
    """
    loaded = {"source": source, "adapter": adapter}
    return {
        "qzoom": __version__,
        **{name: value for name, value in loaded.items() if value is not None},
        "weights": weights_fingerprint(model.checkpoint),
        "dtype": str(model.dtype).removeprefix("torch."),
        "attention": model.parts.backbone.attn_implementation,
        "batch": 1,
        "seed": seed,
        **machine(str(model.device)),
    }


def run_elsewhere(seed: int) -> dict[str, Any]:
    """What result rows say about a run whose model is on a machine that is not known here."""
    return {
        "qzoom": __version__,
        "device": "endpoint",
        "batch": 1,
        "seed": seed,
        "python": platform.python_version(),
    }


def _hardware(device: str) -> str:
    if device.startswith("cuda"):
        return str(torch.cuda.get_device_name(device))
    cores = os.cpu_count()
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return f"{platform.processor() or platform.machine()}, {cores} cores"
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return f"{names[0] if names else platform.machine()}, {cores} cores"
