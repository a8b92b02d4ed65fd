"""What this installation has: versions, devices, attention kernels, threads."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from qzoom import __version__

PACKAGES = ("torch", "transformers", "pillow", "numpy")


def versions() -> dict[str, str | None]:
    """Versions of Python and of the packages that matter; None where one is missing."""
    found: dict[str, str | None] = {"python": platform.python_version(), "qzoom": __version__}
    return found | {name: _version_of(name) for name in PACKAGES}


def torch_facts() -> dict[str, Any]:
    """What torch can do here; each is None when torch itself is broken."""
    try:
        return {"devices": _devices(), "attention": _attention(), "threads": _threads()}
    # A missing CUDA library raises OSError, a missing package ImportError: both shall be reported.
    except (ImportError, OSError):
        return {"devices": None, "attention": None, "threads": None}


def _devices() -> list[str]:
    """Devices that --device takes here, with their names."""
    import torch

    found = [f"cpu ({platform.machine()})"]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = properties.total_memory / 2**30
        found.append(f"cuda:{index} ({properties.name}, {memory:.0f} GiB)")
    if torch.backends.mps.is_available():
        found.append("mps (Apple GPU)")
    return found


def _attention() -> dict[str, Any]:
    """Attention kernels: those of torch as it reports them, and whether flash-attn is installed."""
    import torch

    cuda: Any = torch.backends.cuda
    backends = {
        "flash": cuda.flash_sdp_enabled(),
        "efficient": cuda.mem_efficient_sdp_enabled(),
        "math": cuda.math_sdp_enabled(),
        "cudnn": cuda.cudnn_sdp_enabled(),
    }
    return {
        "eager": True,
        "sdpa": True,
        "sdpa_backends": [name for name, is_on in backends.items() if is_on],
        "flash_attn": _version_of("flash_attn"),
    }


def _threads() -> int:
    """Threads that torch computes with on the CPU."""
    import torch

    return torch.get_num_threads()


def _version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
