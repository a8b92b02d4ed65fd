"""Batched forward of a Qwen3-VL vision tower over pictures of one size.

The installed module splits attention picture by picture and embeds patches by a 3-D convolution;
both are slow on a CPU. With equal sizes one attention call and one matrix product do the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.models.qwen3_vl.modeling_qwen3_vl import (
    Qwen3VLVisionModel,
    apply_rotary_pos_emb_vision,
)
from transformers.vision_utils import (
    get_vision_interpolation_indices_and_weights,
    get_vision_position_ids,
)


class TowerOutput(NamedTuple):
    """patches_bnd: last block's output; cells_bch: merged; deepstack_bch: one per level."""

    patches_bnd: Tensor
    cells_bch: Tensor
    deepstack_bch: list[Tensor]


def encode_equal(
    visual: Qwen3VLVisionModel, pixels_bnp: Tensor, grid_hw: tuple[int, int]
) -> TowerOutput:
    """Encode a batch of pictures of one patch grid.

    Args:
        pixels_bnp: of shape `(batch, patches, patch values)`, patches in merge-block order.
        grid_hw: patches high and wide.
    """
    batch, patches, _ = pixels_bnp.shape
    grid = torch.tensor([[1, *grid_hw]], device=pixels_bnp.device)
    merge = visual.config.spatial_merge_size
    taps, weights = get_vision_interpolation_indices_and_weights(
        grid,
        num_grid_per_side=visual.num_grid_per_side,
        mode=visual.interpolation_mode,
        align_corners=visual.interpolation_align_corners,
        spatial_merge_size=merge,
    )
    places = (visual.pos_embed(taps) * weights[:, :, None]).sum(1)
    cos, sin = visual.rotary_pos_emb(places, get_vision_position_ids(grid, merge))
    proj = visual.patch_embed.proj
    x = F.linear(pixels_bnp, proj.weight.flatten(1), proj.bias) + places
    deepstack: list[Tensor] = []
    blocks: Sequence[Any] = list(visual.blocks)
    for index, block in enumerate(blocks):
        x = x + _attend(block.attn, block.norm1(x), cos, sin)
        x = x + block.mlp(block.norm2(x))
        if index in visual.deepstack_visual_indexes:
            level = visual.deepstack_visual_indexes.index(index)
            merger = visual.deepstack_merger_list[level]
            deepstack.append(merger(x).view(batch, patches // merge**2, -1))
    cells = visual.merger(x).view(batch, patches // merge**2, -1)
    return TowerOutput(x, cells, deepstack)


def _attend(attn: Any, x_bnd: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    batch, length, width = x_bnd.shape
    q, k, v = attn.qkv(x_bnd).view(batch, length, 3, attn.num_heads, -1).unbind(2)
    q, k = apply_rotary_pos_emb_vision(q, k, cos, sin)
    out = F.scaled_dot_product_attention(
        q.to(v.dtype).transpose(1, 2), k.to(v.dtype).transpose(1, 2), v.transpose(1, 2)
    )
    mixed: Tensor = attn.proj(out.transpose(1, 2).reshape(batch, length, width))
    return mixed
