"""Token-level generation from the tensors that transformers' processors make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from qzoom.backbones.base import VisionFeatures
from qzoom.errors import ConfigError, PromptError
from qzoom.zoom.answer import GenerateOutput
from qzoom.zoom.options import AskOptions, Options
from qzoom.zoom.prompt import PromptLayout, lay_out
from qzoom.zoom.report import details_of, sequences_of
from qzoom.zoom.requests import batch_of, start
from qzoom.zoom.timings import Timings

if TYPE_CHECKING:
    from qzoom.zoom.model import ZoomModel

# What a processor hands over besides and nothing here needs.
_IGNORED = frozenset({"mm_token_type_ids", "token_type_ids", "use_cache"})


def generate(
    model: ZoomModel,
    input_ids: Tensor,
    *,
    attention_mask: Tensor | None = None,
    pixel_values: Tensor | None = None,
    image_grid_thw: Tensor | None = None,
    images: Any = None,
    pad_token_id: int | None = None,
    do_sample: bool = False,
    temperature: float = 1.0,
    return_details: bool = False,
    **options: Any,
) -> Tensor | GenerateOutput:
    """Generate from prompts with image tokens in place, one per cell.

    With several images in a prompt the crop comes from the one with the highest peak in its map.

    Args:
        input_ids: of shape `(B, n)`.
        attention_mask: of shape `(B, n)`, 0 at padding, on either side.
        pixel_values, image_grid_thw: of all images of the batch in order, as the processor gives
            them; made from `images` when left out.
        images: the pictures themselves in the same order, needed for crops.
        pad_token_id: fills rows that ended early; default 0.
        do_sample, temperature: sampling, off by default.
        return_details: give a `GenerateOutput` instead of the sequences.
        options: the rest of `AskOptions`; `stop` does not act on tokens and is refused.

    Returns:
        sequences of shape `(B, n + new tokens)`, or the details.

    Raises:
        PromptError: when prompts, grids and images do not fit together.
        ConfigError: for an unknown option or a value out of range.
    """
    request = _read(model, options, temperature if do_sample else 0.0)
    timings = Timings()
    rows = _unpadded(input_ids, attention_mask, model.parts.backbone.vocabulary_size)
    pictures = [] if images is None else model.decode(images)
    features = _features(model, pixel_values, image_grid_thw, pictures)
    may_zoom = request.zoom != "never" and model.config.enabled
    if len(pictures) != len(features):
        if may_zoom:
            raise PromptError(
                f"got {len(pictures)} images for {len(features)} grids; pass images=[...] with the "
                "pictures to crop from, or zoom='never'"
            )
        pictures = []
    shares = _share_out(model, rows, features)
    layouts = [_lay_out(model, ids, features[mine]) for ids, mine in zip(rows, shares, strict=True)]
    work = batch_of(
        model.parts,
        request,
        layouts,
        [pictures[mine] for mine in shares],
        [features[mine] for mine in shares],
    )
    run = start(work, timings, keep_logits=return_details)
    run.finish()
    fill = 0 if pad_token_id is None else pad_token_id
    return (
        details_of(run, input_ids, fill) if return_details else sequences_of(run, input_ids, fill)
    )


def _read(model: ZoomModel, options: dict[str, Any], temperature: float) -> Options:
    given: Any = {name: value for name, value in options.items() if name not in _IGNORED}
    if given.get("stop"):
        raise ConfigError("stop strings need text; use eos_token_id, or ask through open()")
    asked: AskOptions = given | {"temperature": temperature}
    return model.options(**asked)


def _unpadded(
    input_ids: Tensor, attention_mask: Tensor | None, vocabulary_size: int
) -> list[Tensor]:
    """The prompts on the host, where they are taken apart, without padding."""
    if input_ids.ndim != 2 or input_ids.shape[0] == 0:
        raise PromptError(f"input_ids must have shape (B, n), got {tuple(input_ids.shape)}")
    mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    if mask.shape != input_ids.shape:
        raise PromptError(
            f"attention_mask has shape {tuple(mask.shape)}, "
            f"input_ids {tuple(input_ids.shape)}; they must be equal"
        )
    rows = [ids[keep] for ids, keep in zip(input_ids.cpu(), mask.bool().cpu(), strict=True)]
    for number, ids in enumerate(rows, 1):
        if len(ids) == 0:
            raise PromptError(f"prompt {number} is empty; give at least one token")
        if ids.min() < 0 or ids.max() >= vocabulary_size:
            raise PromptError(
                f"prompt {number} has token ids from {int(ids.min())} to {int(ids.max())}; "
                f"the model knows 0 to {vocabulary_size - 1}"
            )
    return rows


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
    patches = int(image_grid_thw.prod(-1).sum())
    if len(pixel_values) != patches or (image_grid_thw[:, 0] != 1).any():
        raise PromptError(
            f"pixel_values has {len(pixel_values)} patches, image_grid_thw {patches}; "
            "give still images (a time extent of 1) and all of their patches"
        )
    with torch.inference_mode():
        return model.parts.backbone.encode(pixel_values, image_grid_thw)


def _lay_out(model: ZoomModel, ids: Tensor, features: Sequence[VisionFeatures]) -> PromptLayout:
    return lay_out(ids, [image.grid_hw for image in features], model.parts.ids)


def _share_out(
    model: ZoomModel, rows: Sequence[Tensor], features: Sequence[VisionFeatures]
) -> list[slice]:
    """Which of the batch's images belong to which prompt, counted by image tokens."""
    shares, first = [], 0
    for number, ids in enumerate(rows, 1):
        wanted, last = int((ids == model.parts.ids.image).sum()), first
        while wanted > 0 and last < len(features):
            wanted -= len(features[last].cells_ch)
            last += 1
        if wanted:
            raise PromptError(
                f"prompt {number} has {abs(wanted)} image tokens too "
                f"{'many' if wanted > 0 else 'few'} for its images"
            )
        shares.append(slice(first, last))
        first = last
    if first != len(features):
        raise PromptError(f"{len(features)} images were given but the prompts use {first}")
    return shares
