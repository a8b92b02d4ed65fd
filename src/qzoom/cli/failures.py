"""Failures that a person can do something about, each as one line and an exit code."""

from __future__ import annotations

from typing import Final

from qzoom.errors import QZoomError

FAILED: Final = 1
BAD_INPUT: Final = 2


def explain(error: Exception) -> tuple[str, int] | None:
    """What to print for an error and the code to end with; None for a fault of our own."""
    if isinstance(error, QZoomError):
        return str(error), BAD_INPUT
    if isinstance(error, OSError):
        place = f": {error.filename}" if error.filename else ""
        return f"{error.strerror or error}{place}", FAILED
    if isinstance(error, MemoryError):
        return "out of memory; give a smaller image or ask directly", FAILED
    # Known by name, because naming the class would import torch.
    if type(error).__name__ == "OutOfMemoryError":
        hint = "give a smaller image, --dtype bfloat16 or --device cpu"
        return f"the device is out of memory; {hint}", FAILED
    return None
