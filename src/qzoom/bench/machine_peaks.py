"""What the machine could do: its fastest matrix product, and the memory that work takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

_SIDE: Final = {"cpu": 2048, "cuda": 8192}
Shape = tuple[int, ...]
_MIB: Final = 1 << 20
_CPU_ATTENTION: Final = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


def peak_flops_per_s(device: str, dtype: torch.dtype, repeats: int = 5) -> float:
    """Rate of the fastest of some large square matrix products: the roof of what can be reached."""
    side = _SIDE["cuda" if device.startswith("cuda") else "cpu"]
    left = torch.randn(side, side, device=device, dtype=dtype)
    fastest = float("inf")
    for _ in range(repeats + 1):
        wait(device)
        begun = time.perf_counter()
        left @ left
        wait(device)
        fastest = min(fastest, time.perf_counter() - begun)
    return 2 * side**3 / fastest


def counts_of(work: Callable[[], object], device: str) -> tuple[int, float | None]:
    """Floating-point operations of a call, and the highest memory during it in MiB.

    Operations are those of matrix products and attention, two for each multiply-add; attention
    counts whole squares, causal or not. Memory is that of the device, or resident on a CPU; None
    where the system does not tell.
    """
    # The counter knows the attention kernels of GPUs alone.
    counter = FlopCounterMode(display=False, custom_mapping={_CPU_ATTENTION: _attention_flops})
    with counter:
        peak_mib = _peak_mib_of(work, device)
    return int(counter.get_total_flops()), peak_mib


def _attention_flops(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    count: Any = sdpa_flop_count
    return int(count(query, key, value))


def _peak_mib_of(work: Callable[[], object], device: str) -> float | None:
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
        work()
        return torch.cuda.max_memory_allocated(device) / _MIB
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    try:
        reset.write_text("5")
    except OSError:
        work()
        return None
    work()
    lines = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(lines[0].split()[1]) / 1024 if lines else None


def wait(device: str) -> None:
    """Until a GPU has done all it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
