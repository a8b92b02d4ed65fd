"""Attention sinks: cells that draw attention whatever is asked."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qzoom.backbones.base import VisionFeatures
from qzoom.zoom.parts import ModelParts
from qzoom.zoom.prompt import PromptLayout
from qzoom.zoom.uncached import UncachedRun, cell_rows


@torch.inference_mode()
def feature_norms(
    parts: ModelParts,
    layouts: Sequence[PromptLayout],
    features: Sequence[Sequence[VisionFeatures]],
    layer: int,
) -> list[Tensor]:
    """L2 norm of each source cell's state that enters a trunk layer, float32 `(cells,)` (eq. 11).

    Args:
        layer: trunk layer, from 0; the layers below it are run.
    """
    run = UncachedRun.of(parts, layouts, features)
    hidden = run.trunk(layer).float()
    device = hidden.device
    return [
        run.states_of(p, hidden)[cell_rows(layout).to(device)].norm(dim=-1)
        for p, layout in enumerate(layouts)
    ]


def norm_sinks(norms_hw: Tensor, threshold: float) -> Tensor:
    """Cells whose features are longer than a threshold: sinks by the paper's rule (eq. 11).

    Returns:
        float32 map of shape `(rows, cols)`: 1 on sinks, 0 elsewhere, so that it takes the place of
        a sink head's attention under any threshold in between.
    """
    return (norms_hw > threshold).float()
