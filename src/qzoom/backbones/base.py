"""What zooming needs of a backbone, driven layer by layer.

Shapes: B batch, N rows, H hidden size, C cells of one image, G kv heads, D head size.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.vision_utils import get_vision_position_ids

from qzoom.backbones.segments import VisionPlan, plan_pictures, use_segments
from qzoom.errors import ConfigError
from qzoom.steps import Steps, finish

CPU_PATCHES = 1024
"""Patches that a CPU encodes at once, or one image's if that has more."""

Rotary = tuple[Tensor, Tensor]
"""(cos, sin), each of shape `(B, N, D)`."""


class KeyValueStore(Protocol):
    """The one method of a transformers cache that its attention layers call."""

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append keys and values of a layer and return all of them."""
        ...


@dataclass(frozen=True)
class VisionFeatures:
    """One encoded image.

    cells_ch: features of shape `(C, H)`.
    deepstack_ch: one such tensor for each of the first trunk layers that gets them.
    grid_hw: rows and columns of cells.
    """

    cells_ch: Tensor
    deepstack_ch: tuple[Tensor, ...]
    grid_hw: tuple[int, int]


class LinearPatchEmbed(nn.Module):
    """The patch embedding as a matrix product: kernel and stride of its convolution are one patch.

    Holds the convolution under its own name, so state dicts keep their keys.
    """

    def __init__(self, proj: nn.Conv3d) -> None:
        super().__init__()
        self.proj = proj

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Patches of shape `(patches, values)` to `(patches, vision hidden)`."""
        weight = self.proj.weight
        return F.linear(hidden_states.to(weight.dtype), weight.flatten(1), self.proj.bias)


class Backbone:
    """A transformers vision-language model, run piece by piece. Holds no request state."""

    family: str

    def __init__(self, trunk: PreTrainedModel) -> None:
        self.trunk: Any = trunk
        self.language: Any = self.trunk.model.language_model
        self.visual: Any = self.trunk.model.visual
        self.config: Any = trunk.config
        implementation = self.language.config._attn_implementation
        if implementation not in ("sdpa", "eager"):
            raise ConfigError(
                f"attn_implementation {implementation!r} is not supported; use 'sdpa' or 'eager'"
            )
        self.attn_implementation: str = implementation
        embed = self.visual.patch_embed
        if isinstance(embed.proj, nn.Conv3d) and not isinstance(embed, LinearPatchEmbed):
            self.visual.patch_embed = LinearPatchEmbed(embed.proj)
        if implementation == "sdpa":
            use_segments(self.visual)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self.language.embed_tokens.weight.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights and hidden states."""
        dtype: torch.dtype = self.language.embed_tokens.weight.dtype
        return dtype

    @property
    def layers(self) -> Sequence[nn.Module]:
        """Decoder layers of the trunk."""
        return list(self.language.layers)

    @property
    def deepstack_levels(self) -> int:
        """First trunk layers whose output gets extra image features."""
        return 0

    @property
    def vocabulary_size(self) -> int:
        """Token ids that can be embedded: 0 to this, exclusive."""
        return int(self.language.embed_tokens.num_embeddings)

    @property
    def merge_size(self) -> int:
        """Patches along one side of a cell."""
        return int(self.visual.spatial_merge_size)

    def embed(self, input_ids: Tensor) -> Tensor:
        """Embeddings of shape `(..., H)` of token ids."""
        embedded: Tensor = self.language.embed_tokens(input_ids)
        return embedded

    def rotary(self, position_ids: Tensor) -> Rotary:
        """Rotary tables of positions of shape `(3, B, N)`, which may be fractional."""
        sample = torch.empty(0, dtype=self.dtype, device=self.device)
        cos, sin = self.language.rotary_emb(sample, position_ids)
        return cos, sin

    def logits(self, hidden_bh: Tensor) -> Tensor:
        """Next-token logits, float32 of shape `(B, vocabulary)`, of last-layer states `(B, H)`."""
        logits: Tensor = self.trunk.lm_head(self.language.norm(hidden_bh))
        return logits.float()

    def encode(self, pixel_values: Tensor, image_grid_thw: Tensor) -> list[VisionFeatures]:
        """Encode images: all at once, or on a CPU as many as stay in its cache together.

        Args:
            pixel_values: of shape `(patches of all images, values)`.
            image_grid_thw: of shape `(images, 3)`, in patches.
        """
        return finish(self.encode_steps(pixel_values, image_grid_thw))

    def encode_steps(
        self, pixel_values: Tensor, image_grid_thw: Tensor
    ) -> Steps[list[VisionFeatures]]:
        """The same, pausing between images that are not encoded at once."""
        grid = image_grid_thw.cpu()
        most = CPU_PATCHES if self.device.type == "cpu" else sys.maxsize
        found, first = list[VisionFeatures](), 0
        for group in _groups(grid, most):
            if first:
                yield
            patches = int(group.prod(-1).sum())
            found += self._encode(pixel_values[first : first + patches], group)
            first += patches
        return found

    def _encode(self, pixel_values: Tensor, grid: Tensor) -> list[VisionFeatures]:
        pixels = pixel_values.to(self.device, self.dtype)
        out = self.visual(pixels, grid_thw=grid, return_dict=True, **self._planned(grid))
        merge = self.merge_size
        grids = [(int(h) // merge, int(w) // merge) for _, h, w in grid.tolist()]
        sizes = [rows * cols for rows, cols in grids]
        cells = torch.split(out.pooler_output, sizes)
        levels = [torch.split(level, sizes) for level in self.deepstack_of(out)]
        return [
            VisionFeatures(cells[i], tuple(level[i] for level in levels), grid_hw)
            for i, grid_hw in enumerate(grids)
        ]

    def _planned(self, grid_thw: Tensor) -> dict[str, Any]:
        """What the vision tower would work out on the device, worked out on the host.

        Args:
            grid_thw: of shape `(images, 3)`, in patches, on the host.
        """
        places = get_vision_position_ids(grid_thw, self.merge_size)
        plan = self.vision_plan(grid_thw).arguments()
        return plan | {"position_ids": places.to(self.device)}

    def vision_plan(self, grid_thw: Tensor) -> VisionPlan:
        """Which patches attend to each other."""
        return plan_pictures(grid_thw, self.device)

    def deepstack_of(self, vision_output: Any) -> Sequence[Tensor]:
        """Extra feature levels for the first trunk layers; none unless the family has them."""
        return ()

    def write_keys(
        self, layer: nn.Module, hidden_bnh: Tensor, rotary: Rotary, store: KeyValueStore
    ) -> None:
        """Append a layer's keys and values of all rows without computing its output."""
        attn: Any = layer.self_attn
        normed = layer.input_layernorm(hidden_bnh)  # type: ignore[operator]
        shape = (*normed.shape[:-1], -1, attn.head_dim)
        keys = attn.k_proj(normed).view(shape)
        if getattr(attn, "k_norm", None) is not None:
            keys = attn.k_norm(keys)
        values = attn.v_proj(normed).view(shape).transpose(1, 2)
        store.update(rotate(keys.transpose(1, 2), rotary), values, attn.layer_idx)


def rotate(heads_bgnd: Tensor, rotary: Rotary) -> Tensor:
    """Rotary embedding of queries or keys of shape `(B, G, N, D)`."""
    cos, sin = (table.unsqueeze(1) for table in rotary)
    first, second = heads_bgnd.chunk(2, -1)
    return heads_bgnd * cos + torch.cat((-second, first), -1) * sin


def _groups(grid_thw: Tensor, most_patches: int) -> Iterator[Tensor]:
    """Consecutive images of no more patches together, or single ones."""
    patches = grid_thw.prod(-1).tolist()
    first, together = 0, 0
    for image, own in enumerate(patches):
        if together and together + own > most_patches:
            yield grid_thw[first:image]
            first, together = image, 0
        together += own
    if patches:
        yield grid_thw[first:]
