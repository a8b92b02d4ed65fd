"""The region network's map and the box read off it.

Shapes: B batch, C visual cells, A query heads, G kv heads, D head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qzoom.backbones.base import Rotary, rotate
from qzoom.geometry.boxes import Box
from qzoom.geometry.heatmaps import (
    corner_sink_keep,
    foreground_box,
    gaussian_blur3,
    token0_sink_keep,
)
from qzoom.zoom.branches import QueryKeyHead
from qzoom.zoom.config import ZoomConfig


@dataclass(frozen=True)
class RegionKeys:
    """What of a prefix the map needs; no question changes it.

    keys_gcd: rotated keys of all visual cells, of shape `(G, C, D)`.
    sink_similarity_c: similarity of the first token to each cell, or None where the rule is not
        "token0".
    """

    keys_gcd: Tensor
    sink_similarity_c: Tensor | None


@dataclass(frozen=True)
class RegionChoice:
    """Where to look.

    image_index: source image the box lies on.
    box_cells_xyxy: box in that image's cells, or None when no cell passed the threshold.
    logits_hw: raw map of that image.
    heatmap_hw: probabilities after sink mask and blur.
    sink_keep_hw: cells the sink rule kept, or None when it struck none.
    """

    image_index: int
    box_cells_xyxy: Box | None
    logits_hw: Tensor
    heatmap_hw: Tensor
    sink_keep_hw: Tensor | None


def region_keys(
    head: QueryKeyHead, cells_ch: Tensor, rotary: Rotary, first_h: Tensor, first: Rotary, rule: str
) -> RegionKeys:
    """Keys of the visual cells, and the first token's similarity to them (its head 0 only).

    Args:
        cells_ch: states of the visual rows, of shape `(C, H)`, and their `rotary`.
        first_h: state of the prompt's first row, of shape `(H,)`, and its rotary `first`.
    """
    keys_gcd = rotate(head.keys(cells_ch[None]), rotary)[0]
    if rule != "token0":
        return RegionKeys(keys_gcd, None)
    query_d = rotate(head.queries(first_h[None, None]), first)[0, 0, 0]
    similarity = (keys_gcd @ query_d).float().mean(0) * head.scaling
    return RegionKeys(keys_gcd, similarity.sigmoid())


def region_logits(head: QueryKeyHead, last_h: Tensor, rotary: Rotary, keys: RegionKeys) -> Tensor:
    """Raw map over all visual cells, of shape `(C,)`: mean over heads of q . k / sqrt(D) (eq. 5).

    Heads that share a key are summed first, so keys are never repeated.
    """
    queries_ad = rotate(head.queries(last_h[None, None]), rotary)[0, :, 0]
    groups = keys.keys_gcd.shape[0]
    grouped_gd = queries_ad.float().view(groups, -1, queries_ad.shape[-1]).sum(1)
    total = torch.einsum("gd,gcd->c", grouped_gd, keys.keys_gcd.float())
    return total * (head.scaling / queries_ad.shape[0])


def choose_region(
    logits_c: Tensor, keys: RegionKeys, grids_hw: Sequence[tuple[int, int]], config: ZoomConfig
) -> RegionChoice:
    """Turn the map into a box on one image (eq. 6 and 7).

    With several images each has its own map; the one with the highest peak is chosen.
    """
    sizes = [rows * cols for rows, cols in grids_hw]
    maps = torch.split(logits_c, sizes)
    sinks: Sequence[Tensor | None] = [None] * len(sizes)
    if keys.sink_similarity_c is not None:
        sinks = torch.split(keys.sink_similarity_c, sizes)
    choices = [
        _choose_on_image(index, logits.view(grid), sink, config)
        for index, (logits, grid, sink) in enumerate(zip(maps, grids_hw, sinks, strict=True))
    ]
    if len(choices) == 1:
        return choices[0]
    return max(choices, key=lambda choice: float(choice.heatmap_hw.max()))


def _choose_on_image(
    index: int, logits_hw: Tensor, similarity_c: Tensor | None, config: ZoomConfig
) -> RegionChoice:
    probabilities_hw = logits_hw.float().sigmoid()
    keep_hw = _sink_keep(logits_hw, similarity_c, config)
    if keep_hw is not None:
        probabilities_hw = probabilities_hw * keep_hw
    heatmap_hw = gaussian_blur3(probabilities_hw, config.blur_sigma)
    threshold = config.roi_threshold
    if config.roi_threshold_of == "peak":
        threshold *= float(heatmap_hw.max())
    box = foreground_box(heatmap_hw, threshold)
    return RegionChoice(index, box, logits_hw.float(), heatmap_hw, keep_hw)


def _sink_keep(logits_hw: Tensor, similarity_c: Tensor | None, config: ZoomConfig) -> Tensor | None:
    rows, cols = logits_hw.shape
    if config.sink_rule == "corner":
        if rows * cols <= config.corner_sink_min_cells:
            return None
        return corner_sink_keep(rows, cols).to(logits_hw.device)
    if similarity_c is None:
        return None
    return token0_sink_keep(similarity_c.view(rows, cols), config.sink_cutoff)
