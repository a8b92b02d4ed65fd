"""Token-level generation from the tensors that transformers' processors make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from qzoom.backbones.base import VisionFeatures
from qzoom.errors import PromptError
from qzoom.images.pipeline import PixelBatch
from qzoom.zoom.answer import GenerateOutput
from qzoom.zoom.prompt import lay_out
from qzoom.zoom.report import details_of, sequences_of
from qzoom.zoom.requests import start

if TYPE_CHECKING:
    from qzoom.zoom.model import ZoomModel

IGNORED_INPUTS = frozenset({"mm_token_type_ids", "token_type_ids", "use_cache", "position_ids"})


def generate(
    model: ZoomModel,
    input_ids: Tensor,
    *,
    attention_mask: Tensor | None = None,
    pixel_values: Tensor | None = None,
    image_grid_thw: Tensor | None = None,
    images: Sequence[Any] | None = None,
    pad_token_id: int | None = None,
    do_sample: bool = False,
    temperature: float = 1.0,
    return_details: bool = False,
    **options: Any,
) -> Tensor | GenerateOutput:
    """Generate from prompts with image tokens in place, one per cell.

    Args:
        input_ids: of shape `(B, n)`.
        attention_mask: of shape `(B, n)`, 0 at padding, on either side.
        pixel_values, image_grid_thw: of all images of the batch in order, as the processor gives
            them; made from `images` when left out.
        images: the pictures themselves in the same order, needed for crops.
        pad_token_id: fills rows that ended early; default 0.
        do_sample, temperature: sampling, off by default.
        return_details: give a `GenerateOutput` instead of the sequences.
        options: as for `ImageSession.ask`, and `eos_token_id`.

    Returns:
        sequences of shape `(B, n + new tokens)`, or the details.

    Raises:
        PromptError: when prompts, grids and images do not fit together.
    """
    known = {k: v for k, v in options.items() if k not in IGNORED_INPUTS}
    request = model.options(**known, temperature=temperature if do_sample else 0.0)
    rows = _unpadded(input_ids, attention_mask)
    pictures = model.decode(images) if images is not None else []
    features = _features(model, pixel_values, image_grid_thw, pictures)
    if len(pictures) != len(features):
        if request.zoom != "never" and model.config.enabled:
            raise PromptError(
                f"got {len(pictures)} images for {len(features)} grids; pass images=[...] with the "
                "pictures to crop from, or zoom='never'"
            )
        pictures = []
    shares = _share_out(model, rows, features)
    layouts = [
        lay_out(ids, [f.grid_hw for f in features[a:b]], model.parts.ids)
        for ids, (a, b) in zip(rows, shares, strict=True)
    ]
    run = start(
        model.parts,
        None,
        layouts,
        [pictures[a:b] for a, b in shares],
        [features[a:b] for a, b in shares],
        request,
        keep_logits=return_details,
    )
    run.finish()
    fill = 0 if pad_token_id is None else pad_token_id
    if return_details:
        return details_of(run, input_ids, fill)
    return sequences_of(run, input_ids, fill)


def _unpadded(input_ids: Tensor, attention_mask: Tensor | None) -> list[Tensor]:
    if input_ids.ndim != 2:
        raise PromptError(f"input_ids must have shape (B, n), got {tuple(input_ids.shape)}")
    if attention_mask is None:
        return list(input_ids)
    if attention_mask.shape != input_ids.shape:
        raise PromptError(
            f"attention_mask has shape {tuple(attention_mask.shape)}, "
            f"input_ids {tuple(input_ids.shape)}; they must be equal"
        )
    return [ids[mask.bool()] for ids, mask in zip(input_ids, attention_mask, strict=True)]


def _features(
    model: ZoomModel,
    pixel_values: Tensor | None,
    image_grid_thw: Tensor | None,
    pictures: Sequence[Image.Image],
) -> list[VisionFeatures]:
    if (pixel_values is None) != (image_grid_thw is None):
        raise PromptError("pixel_values and image_grid_thw belong together; pass both or neither")
    if pixel_values is None or image_grid_thw is None:
        return model.encode(pictures)
    pixels = PixelBatch(pixel_values, image_grid_thw)
    with torch.inference_mode():
        return model.parts.backbone.encode(pixels.pixel_values, pixels.image_grid_thw)


def _share_out(
    model: ZoomModel, rows: Sequence[Tensor], features: Sequence[VisionFeatures]
) -> list[tuple[int, int]]:
    """Which of the batch's images belong to which prompt, counted by image tokens."""
    shares, first = [], 0
    for number, ids in enumerate(rows, 1):
        wanted, last = int((ids == model.parts.ids.image).sum()), first
        while wanted > 0 and last < len(features):
            wanted -= features[last].cells_ch.shape[0]
            last += 1
        if wanted:
            raise PromptError(
                f"prompt {number} has {abs(wanted)} image tokens too "
                f"{'many' if wanted > 0 else 'few'} for its images"
            )
        shares.append((first, last))
        first = last
    if first != len(features):
        raise PromptError(f"{len(features)} images were given but the prompts use {first}")
    return shares


