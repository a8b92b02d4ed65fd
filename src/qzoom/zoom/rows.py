"""Prompts turned into rows to append."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from qzoom.backbones.base import Backbone, VisionFeatures
from qzoom.zoom.layers import Rows
from qzoom.zoom.prompt import PromptLayout


def rows_of(
    backbone: Backbone,
    layouts: Sequence[PromptLayout],
    features: Sequence[Sequence[VisionFeatures]],
    starts: Sequence[int],
    image_token_id: int,
) -> Rows:
    """Rows of each prompt from its start on, padded on the right to one length.

    Args:
        features: per prompt, the encoded images whose cells lie in the rows, in order.
        starts: per prompt, the first row wanted.
    """
    tails = [layout.input_ids[start:] for layout, start in zip(layouts, starts, strict=True)]
    places = [layout.position_ids[:, s:] for layout, s in zip(layouts, starts, strict=True)]
    images = [image for row in features for image in row]
    return rows_from(backbone, tails, places, images, image_token_id)


def rows_from(
    backbone: Backbone,
    ids: Sequence[Tensor],
    position_ids: Sequence[Tensor],
    images: Sequence[VisionFeatures],
    image_token_id: int,
) -> Rows:
    """Rows padded on the right to one length.

    Args:
        ids: per row of the batch, of shape `(n,)`.
        position_ids: likewise, of shape `(3, n)`.
        images: what the image tokens stand for, in order.
    """
    device = backbone.device
    ids_bn = pad_sequence(list(ids), batch_first=True)
    valid_bn = _validity([len(row) for row in ids])
    laid = pad_sequence([row.T.float() for row in position_ids], batch_first=True)
    position_ids_3bn = laid.permute(2, 0, 1).to(device)
    hidden_bnh = backbone.embed(ids_bn.to(device))
    on_device = None if valid_bn is None else valid_bn.to(device)
    if not images:
        return Rows(hidden_bnh, position_ids_3bn, valid_bn=on_device)
    visual_bn = ids_bn == image_token_id
    if valid_bn is not None:
        visual_bn &= valid_bn
    visual_bn = visual_bn.to(device)
    cells_ch = torch.cat([image.cells_ch for image in images]).to(hidden_bnh.dtype)
    hidden_bnh = hidden_bnh.masked_scatter(visual_bn[..., None], cells_ch)
    levels = zip(*(image.deepstack_ch for image in images), strict=True)
    deepstack = tuple(torch.cat(level) for level in levels)
    return Rows(hidden_bnh, position_ids_3bn, visual_bn, deepstack, on_device)


def _validity(lengths: list[int]) -> Tensor | None:
    """Which rows are real, of shape `(B, N)`; None when all are."""
    if len(set(lengths)) == 1:
        return None
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
