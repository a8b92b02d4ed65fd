"""Vision attention within pictures or windows: one call for all of one length.

The installed models call the attention kernel once for each window, with lengths that the host
reads back from the device in every layer. Here the lengths are known before anything runs.

Shapes: N patches, A heads, D head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.vision_utils import get_vision_window_index

from qzoom.errors import ConfigError

# A name with "flash" in it is handed the borders of the segments instead of single segments.
NAME: Final = "qzoom_flash_segments"


@dataclass(frozen=True)
class Segments:
    """Stretches of patches that attend to themselves alone.

    borders: of shape `(segments + 1,)`, int32, on the device; longest: patches of the longest.
    runs: (count, length) of neighbouring segments of one length, from the first patch on.
    """

    borders: Tensor
    longest: int
    runs: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device) -> Segments:
        """Segments of these lengths, one after the other."""
        borders = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
        runs = tuple((len(list(group)), length) for length, group in groupby(lengths))
        return cls(borders.to(device), max(lengths), runs)


@dataclass(frozen=True)
class VisionPlan:
    """Segments of a batch of pictures.

    pictures: each picture is one; windows: None where the family has none.
    window_index: order of the cells in which windows of one size lie side by side.
    """

    pictures: Segments
    windows: Segments | None = None
    window_index: Tensor | None = None

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the installed vision model, which then computes none of it."""
        found = {
            "cu_seqlens": self.pictures.borders,
            "max_seqlen": self.pictures.longest,
            "vision_plan": self,
        }
        if self.windows is None:
            return found
        return found | {
            "window_index": self.window_index,
            "cu_window_seqlens": self.windows.borders,
            "max_window_seqlen": self.windows.longest,
        }

    def runs_of(self, borders: Tensor) -> tuple[tuple[int, int], ...]:
        """Runs of the segments that have these very borders.

        Raises:
            ConfigError: When the vision model made borders of its own.
        """
        for segments in (self.windows, self.pictures):
            if segments is not None and borders is segments.borders:
                return segments.runs
        raise ConfigError(
            "the installed transformers attends within segments that were not planned; "
            "use attn_implementation='eager', and report its version"
        )


def plan_pictures(image_grid_thw: Tensor, device: torch.device) -> VisionPlan:
    """Every picture attends to itself.

    Args:
        image_grid_thw: of shape `(images, 3)`, in patches, on the host.
    """
    return VisionPlan(Segments.of(_patches(image_grid_thw), device))


def plan_windows(image_grid_thw: Tensor, device: torch.device, visual: Any) -> VisionPlan:
    """Pictures, and windows of them sorted by size within each."""
    merge = int(visual.spatial_merge_size)
    order, lengths, first = [], [], 0
    for grid in image_grid_thw[:, None]:
        index, borders = get_vision_window_index(
            grid, merge, window_size=visual.window_size, patch_size=visual.patch_size
        )
        sizes = (borders.diff() // merge**2).tolist()
        windows = sorted(
            zip(torch.split(index, sizes), sizes, strict=True), key=lambda pair: -pair[1]
        )
        order += [cells + first for cells, _ in windows]
        lengths += [size * merge**2 for _, size in windows]
        first += len(index)
    pictures = Segments.of(_patches(image_grid_thw), device)
    return VisionPlan(pictures, Segments.of(lengths, device), torch.cat(order).to(device))


def attend_in_segments(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    *,
    cu_seq_lens_q: Tensor,
    vision_plan: VisionPlan | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention function of transformers' interface, over heads of shape `(1, A, N, D)`.

    Returns:
        states of shape `(1, N, A, D)`, and no weights.
    """
    if vision_plan is None:
        lengths = cu_seq_lens_q.diff().tolist()
        runs = Segments.of(lengths, query.device).runs
    else:
        runs = vision_plan.runs_of(cu_seq_lens_q)
    found, start = [], 0
    for count, length in runs:
        end = start + count * length
        # The segments of a run are the batch of one call.
        query_cald, key_cald, value_cald = (
            heads[0, :, start:end].view(-1, count, length, heads.shape[-1]).transpose(0, 1)
            for heads in (query, key, value)
        )
        out = F.scaled_dot_product_attention(
            query_cald, key_cald, value_cald, dropout_p=dropout, scale=scaling
        )
        found.append(out.transpose(1, 2).flatten(0, 1))
        start = end
    whole = found[0] if len(found) == 1 else torch.cat(found)
    return whole[None], None


def use_segments(visual: Any) -> None:
    """Let a loaded vision tower attend by `attend_in_segments` from now on."""
    ALL_ATTENTION_FUNCTIONS.register(NAME, attend_in_segments)
    visual.config._attn_implementation = NAME


def _patches(image_grid_thw: Tensor) -> list[int]:
    return [high * wide for frames, high, wide in image_grid_thw.tolist() for _ in range(frames)]
