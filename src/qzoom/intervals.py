"""Confidence intervals of shares."""

from __future__ import annotations

import math


def wilson(right: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson interval of a share (95 % by default); (0, 1) when nothing was counted."""
    if total == 0:
        return 0.0, 1.0
    share, square = right / total, z * z
    centre = (share + square / (2 * total)) / (1 + square / total)
    spread = z * math.sqrt(share * (1 - share) / total + square / (4 * total**2))
    half = spread / (1 + square / total)
    return max(0.0, centre - half), min(1.0, centre + half)
