"""The group of processes that train together: met once, left before the program ends.

A thread of the group that gives a tensor back while the interpreter goes away aborts its process.
Those threads end with the last reference to the group, so nothing may keep one.
"""

from __future__ import annotations

import atexit
import gc
from importlib import import_module
from typing import Any

import torch

from qzoom.errors import ConfigError


def meet(device: str | torch.device | None) -> Any:
    """Meet the processes that a launcher started; accelerate's `PartialState` of this one.

    Args:
        device: "cuda" to talk over NCCL; anything else talks over gloo.

    Raises:
        ConfigError: When accelerate is missing.
    """
    # Loaded after the group is met, its functions would keep the group as their default.
    import_module("torch.distributed.nn")
    state = accelerate("state").PartialState(cpu=torch.device(device or "cpu").type == "cpu")
    # Once is enough, however often a program asks.
    atexit.unregister(leave)
    atexit.register(leave)
    return state


def leave() -> None:
    """Part from the others, and wait until the group's threads have ended."""
    if not torch.distributed.is_initialized():
        return
    from torch.distributed.device_mesh import DeviceMesh

    torch.distributed.destroy_process_group()
    gc.collect()
    # DTensor's caches keep meshes of shards for ever, and a mesh its groups.
    for mesh in [each for each in gc.get_objects() if type(each) is DeviceMesh]:
        getattr(mesh, "_pg_registry", {}).clear()


def accelerate(module: str) -> Any:
    """A module of accelerate.

    Raises:
        ConfigError: When it is not installed.
    """
    try:
        return import_module(f"accelerate.{module}")
    except ModuleNotFoundError:
        raise ConfigError(
            "training with several processes needs accelerate: pip install 'qzoom[distributed]'"
        ) from None
