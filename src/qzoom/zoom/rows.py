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
    device = backbone.device
    lengths = [layout.length - start for layout, start in zip(layouts, starts, strict=True)]
    tails = [layout.input_ids[start:] for layout, start in zip(layouts, starts, strict=True)]
    ids_bn = pad_sequence(tails, batch_first=True).to(device)
    places = [lay.position_ids[:, s:].T.float() for lay, s in zip(layouts, starts, strict=True)]
    position_ids = pad_sequence(places, batch_first=True).permute(2, 0, 1).to(device)
    valid_bn = None
    if len(set(lengths)) > 1:
        valid_bn = torch.arange(max(lengths), device=device) < torch.tensor(lengths, device=device)[:, None]
    hidden_bnh = backbone.embed(ids_bn)
    images = [image for row in features for image in row]
    if not images:
        return Rows(hidden_bnh, position_ids, valid_bn=valid_bn)
    visual_bn = ids_bn == image_token_id
    if valid_bn is not None:
        visual_bn &= valid_bn
    cells = torch.cat([image.cells_ch for image in images])
    hidden_bnh[visual_bn] = cells.to(hidden_bnh.dtype)
    levels = range(len(images[0].deepstack_ch))
    deepstack = tuple(torch.cat([image.deepstack_ch[i] for image in images]) for i in levels)
    return Rows(hidden_bnh, position_ids, visual_bn, deepstack, valid_bn)


def last_rows(valid_bn: Tensor | None, batch: int, count: int, device: torch.device) -> Tensor:
    """Index of the last real row of each batch row, of shape `(B,)`."""
    if valid_bn is None:
        return torch.full((batch,), count - 1, device=device)
    positions = torch.arange(count, device=device).expand(batch, -1)
    return positions.masked_fill(~valid_bn, -1).amax(1)
