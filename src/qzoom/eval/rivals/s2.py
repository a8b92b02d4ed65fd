"""S2, several scales (arXiv 2403.13043), in a variant without training: features are averaged.

S2 joins the scales' features along their channels, which a projector has to be trained for. Here a
cell is the mean of what it is at every scale, so the trunk sees vectors of the kind it knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from qzoom.backbones.base import VisionFeatures
from qzoom.errors import ConfigError
from qzoom.eval.methods.base import Told, told_of
from qzoom.eval.methods.extra import as_json, with_extra
from qzoom.eval.methods.own import described
from qzoom.eval.methods.registry import MethodOptions
from qzoom.eval.rivals.second_look import Clock
from qzoom.geometry.boxes import BoxLike
from qzoom.zoom.model import ZoomModel
from qzoom.zoom.session import ImageSession


@dataclass(frozen=True)
class S2Settings:
    """scales: multiples of the size that the budget gives a picture; each is cut into tiles."""

    scales: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class S2Method:
    """Direct answers over averaged features: the same visual tokens, more work to encode."""

    model: ZoomModel
    own_settings: S2Settings
    name: str = "s2"

    def open(self, images: Sequence[Image.Image]) -> S2Opened:
        """Nothing is computed before the first question."""
        return S2Opened(self, list(images))

    def settings(self) -> dict[str, Any]:
        """Model, budget and scales."""
        return described(self.model) | as_json(self.own_settings)


class S2Opened:
    """Pictures, encoded at the first question."""

    def __init__(self, method: S2Method, images: list[Image.Image]) -> None:
        self._method, self._images = method, images
        self._session: ImageSession | None = None

    def ask(self, prompt: str, max_new_tokens: int, boxes_px_xyxy: Sequence[BoxLike] = ()) -> Told:
        """Answer directly."""
        clock, model = Clock(), self._method.model
        if self._session is None:
            scales = self._method.own_settings.scales
            features = [encode_scales(model, image, scales) for image in self._images]
            self._session = ImageSession(model, self._images, None, features)
        clock.end("encode")
        answer = self._session.ask(prompt, zoom="never", max_new_tokens=max_new_tokens)
        clock.end("answer")
        return replace(told_of(answer), seconds=clock.read())


def build(model: ZoomModel, options: MethodOptions) -> S2Method:
    """S2 on a model.

    Raises:
        ConfigError: for scales that are not distinct whole numbers from 1.
    """
    settings = with_extra(S2Settings(), options.extra, "s2")
    if (
        not settings.scales
        or min(settings.scales) < 1
        or len(set(settings.scales)) < len(settings.scales)
    ):
        raise ConfigError(f"scales are {list(settings.scales)}; give distinct ones of at least 1")
    return S2Method(model, settings)


def encode_scales(model: ZoomModel, image: Image.Image, scales: Sequence[int]) -> VisionFeatures:
    """Features of a picture, each cell and deepstack level a mean over the scales."""
    found = [_at_scale(model, image, scale) for scale in scales]
    levels = zip(*(each.deepstack_ch for each in found), strict=True)
    return VisionFeatures(
        torch.stack([each.cells_ch for each in found]).mean(0),
        tuple(torch.stack(level).mean(0) for level in levels),
        found[0].grid_hw,
    )


def _at_scale(model: ZoomModel, image: Image.Image, scale: int) -> VisionFeatures:
    """The picture at one scale, pooled to the grid of scale 1."""
    if scale == 1:
        return model.encode([image])[0]
    rows, cols = model.grid_of(image)
    side = model.pipeline.cell_side_px
    wide, high = cols * side, rows * side
    large = image.resize((wide * scale, high * scale), Image.Resampling.BICUBIC)
    places = [(x * wide, y * high) for y in range(scale) for x in range(scale)]
    tiles = [large.crop((x, y, x + wide, y + high)) for x, y in places]
    # Exactly the cells of scale 1, whatever the budget rounds to.
    encoded = model.with_budget(min_cells=rows * cols, max_cells=rows * cols).encode(tiles)
    levels = zip(*(tile.deepstack_ch for tile in encoded), strict=True)
    return VisionFeatures(
        pooled([tile.cells_ch for tile in encoded], (rows, cols), scale),
        tuple(pooled(level, (rows, cols), scale) for level in levels),
        (rows, cols),
    )


def pooled(tiles_ch: Sequence[Tensor], grid_hw: tuple[int, int], scale: int) -> Tensor:
    """Tiles laid side by side, then averaged over squares of `scale` cells.

    Args:
        tiles_ch: `scale * scale` tiles, row by row, each of shape `(rows * cols, H)`.

    Returns:
        features of shape `(rows * cols, H)`.
    """
    (rows, cols), width = grid_hw, tiles_ch[0].shape[-1]
    tiles = torch.stack(list(tiles_ch)).view(scale, scale, rows, cols, width)
    whole = tiles.permute(0, 2, 1, 3, 4).reshape(rows, scale, cols, scale, width)
    return whole.mean((1, 3)).reshape(rows * cols, width)
