"""What the paper and its project page publish about their fronts: nothing but ratios.

Throughput over that of direct answers at their best (4096 cells), for the cheapest zoom point that
is as good; one A6000, SDPA, batch 1 (arXiv 2604.06912 for 7B, the project page for 4B).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Published:
    """One comparison at direct answers' best score; `fewer_tokens` is a share."""

    name: str
    speed_up: float
    fewer_tokens: float


PUBLISHED: Final = (
    Published("paper, Qwen2.5-VL-7B, documents", 2.52, 0.530),
    Published("paper, Qwen2.5-VL-7B, high resolution", 4.39, 0.732),
    Published("project page, Qwen3-VL-4B, documents", 1.70, 0.531),
    Published("project page, Qwen3-VL-4B, high resolution", 2.73, 0.729),
)
