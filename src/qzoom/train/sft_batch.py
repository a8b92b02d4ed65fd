"""Looks and teacher-forced prompts, packed flat for a worker's pipe, and unpacked.

Every distinct picture, and every distinct crop of it, is cut into patches and encoded once.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from qzoom.data.images import ImageFolder
from qzoom.errors import DataError, ImageError, QZoomError
from qzoom.geometry.boxes import Box
from qzoom.images.pipeline import ImagePipeline, PixelBatch
from qzoom.train.loader import Batch
from qzoom.train.prompt_batch import grids_of, split_flat
from qzoom.zoom.chat import dialogue_ids
from qzoom.zoom.config import ZoomConfig
from qzoom.zoom.crops import cells_of_crop, crop_pipeline, cut_crop
from qzoom.zoom.parts import ModelParts
from qzoom.zoom.prompt import PromptLayout, lay_out, with_crop
from qzoom.zoom.uncached import UncachedRun

NO_CROP: Final = -1
NOWHERE: Final = Box(0, 0, 0, 0)
Crop = tuple[int, int, int, int]


class Looks:
    """Pictures and crops of one batch, each decoded and cut into patches once."""

    def __init__(self, images: ImageFolder, config: ZoomConfig) -> None:
        self._folder, self._config = images, config
        self._pictures: dict[str, Image.Image] = {}
        self._place_of: dict[Hashable, int] = {}
        self._pixels: list[PixelBatch] = []

    def picture(self, path: str, pipeline: ImagePipeline) -> tuple[int, tuple[int, int]]:
        """Place of a picture under a budget, and its rows and columns of cells."""
        return self._add((path, pipeline), self._open(path), pipeline)

    def crop(
        self, path: str, pipeline: ImagePipeline, crop_px: Crop, grid_hw: tuple[int, int]
    ) -> tuple[int, Box]:
        """Place of a crop, and the box of the picture's cells that it shows.

        Raises:
            ImageError: When it is too thin to encode.
            DataError: When it leaves the picture.
        """
        image = self._open(path)
        try:
            box = cells_of_crop(pipeline, image.size, crop_px, grid_hw, self._config)
        except QZoomError as error:
            raise DataError(f"image {path!r}: {error}") from None
        found = cut_crop(pipeline, image, box, grid_hw, self._config)
        if found is None:
            raise ImageError(f"crop {crop_px} of {path} is too thin to encode; leave it out")
        budget = crop_pipeline(pipeline, self._config)
        place, _ = self._add((path, budget, found[0]), found[1], budget)
        return place, box

    def pack(self) -> Batch:
        """All patches, and each look's grid."""
        return {
            "pixels": torch.cat([found.pixel_values for found in self._pixels]).numpy(),
            "grid_thw": torch.cat([found.image_grid_thw for found in self._pixels]).numpy(),
        }

    def _open(self, path: str) -> Image.Image:
        if path not in self._pictures:
            self._pictures[path] = self._folder.open(path)
        return self._pictures[path]

    def _add(
        self, key: Hashable, image: Image.Image, pipeline: ImagePipeline
    ) -> tuple[int, tuple[int, int]]:
        if key not in self._place_of:
            self._place_of[key] = len(self._pixels)
            self._pixels.append(pipeline([image]))
        place = self._place_of[key]
        return place, grids_of(self._pixels[place].image_grid_thw, pipeline)[0]


@dataclass(frozen=True)
class TaughtPrompt:
    """A question with the answer to learn, as ids.

    ids: of shape `(n,)`, without the crop's block; targets: how many at the end are to be learnt.
    picture, crop: places among the looks, `NO_CROP` for none; box_cells_xyxy: what the crop shows.
    """

    ids: Tensor
    targets: int
    picture: int
    crop: int = NO_CROP
    box_cells_xyxy: Box = NOWHERE


def taught_ids(
    tokenizer: Any, asked: tuple[str, str], grid_hw: tuple[int, int], image_id: int, end_id: int
) -> tuple[Tensor, int]:
    """Ids of a question, its answer and the end token, and how many of them are the last two's.

    Args:
        asked: Question and answer.
    """
    ids, (asking,) = dialogue_ids(tokenizer, [asked], [grid_hw], image_id)
    return torch.cat([ids, torch.tensor([end_id])]), len(ids) - asking


def pack_taught(prompts: list[TaughtPrompt]) -> Batch:
    """Prompts as flat arrays."""
    return {
        "ids": torch.cat([prompt.ids for prompt in prompts]).numpy(),
        "lengths": np.array([len(prompt.ids) for prompt in prompts]),
        "targets": np.array([prompt.targets for prompt in prompts]),
        "picture": np.array([prompt.picture for prompt in prompts]),
        "crop": np.array([prompt.crop for prompt in prompts]),
        "boxes": np.array([prompt.box_cells_xyxy for prompt in prompts]),
    }


def run_of(parts: ModelParts, batch: Batch) -> UncachedRun:
    """Encode a packed batch's looks and lay its prompts side by side, as the engine would."""
    grid_thw = torch.as_tensor(batch["grid_thw"])
    looks = parts.backbone.encode(torch.as_tensor(batch["pixels"]), grid_thw)
    layouts: list[PromptLayout] = []
    features = []
    ids = split_flat(batch["ids"], batch["lengths"])
    places = zip(batch["picture"].tolist(), batch["crop"].tolist(), strict=True)
    for row, (picture, crop) in enumerate(places):
        layout = lay_out(ids[row], [looks[picture].grid_hw], parts.ids)
        seen = [looks[picture]]
        if crop != NO_CROP:
            box, align = Box(*batch["boxes"][row].tolist()), parts.config.align_roi_positions
            roi_hw = looks[crop].grid_hw
            layout = with_crop(layout, 0, box, roi_hw, parts.ids, align=align)
            seen.append(looks[crop])
        layouts.append(layout)
        features.append(seen)
    return UncachedRun.of(parts, layouts, features)
