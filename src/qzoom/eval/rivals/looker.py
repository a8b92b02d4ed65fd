"""Pictures of a sample: encoded once, then looked at directly or with a crop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Literal

import torch
from PIL import Image

from qzoom.backbones.base import VisionFeatures
from qzoom.eval.methods.base import Told, told_of
from qzoom.geometry.boxes import BoxLike, pixels_to_cells
from qzoom.images.crop import crop_px
from qzoom.zoom.answer import ZoomAnswer
from qzoom.zoom.chat import question_ids
from qzoom.zoom.crops import Crop, encode_crop
from qzoom.zoom.model import ZoomModel
from qzoom.zoom.prompt import PromptLayout, lay_out
from qzoom.zoom.session import ImageSession

CropAs = Literal["aligned", "image"]
"""How a crop is looked at: at its true place in the picture, as qzoom does, or as one more picture
of an ordinary prompt. Both cut whole cells of the source and encode them under the crop's budget.
"""


class Looker:
    """Decoded pictures that a method localises on; boxes lie on the first of them."""

    def __init__(self, model: ZoomModel, images: Sequence[Image.Image]) -> None:
        self.model, self.images = model, list(images)

    @cached_property
    def features(self) -> list[VisionFeatures]:
        """The pictures, encoded when first needed."""
        return self.model.encode(self.images)

    @cached_property
    def session(self) -> ImageSession:
        """For questions about the pictures alone."""
        return ImageSession(self.model, self.images, None, self.features)

    @property
    def grid_hw(self) -> tuple[int, int]:
        """Rows and columns of cells of the first picture."""
        return self.features[0].grid_hw

    def layout(self, prompt: str) -> PromptLayout:
        """The prompt as `direct` asks it."""
        return laid_out(self.model, prompt, self.features)

    def direct(self, prompt: str, max_new_tokens: int) -> ZoomAnswer:
        """Answer without a crop."""
        return self.session.ask(prompt, zoom="never", max_new_tokens=max_new_tokens)

    def closer(
        self,
        prompt: str,
        boxes_px_xyxy: Sequence[BoxLike],
        max_new_tokens: int,
        crop_as: CropAs,
    ) -> Told:
        """Answer with crops; directly where they are too thin to encode.

        Args:
            boxes_px_xyxy: at least one, inside the first picture, in its pixels. "aligned" crops
                the box that encloses them, "image" each of them.
        """
        if crop_as == "image":
            return self._with_pictures(prompt, self._crops(boxes_px_xyxy), max_new_tokens)
        box_px = enclosing(boxes_px_xyxy)
        return told_of(self.session.ask(prompt, box_xyxy_px=box_px, max_new_tokens=max_new_tokens))

    def _with_pictures(self, prompt: str, crops: Sequence[Crop], max_new_tokens: int) -> Told:
        if not crops:
            return told_of(self.direct(prompt, max_new_tokens))
        boxes = tuple(crop.box_px_xyxy for crop in crops)
        pictures = [*self.images, *(crop_px(self.images[0], box) for box in boxes)]
        features = [*self.features, *(crop.features for crop in crops)]
        session = ImageSession(self.model, pictures, None, features)
        told = told_of(session.ask(prompt, zoom="never", max_new_tokens=max_new_tokens))
        roi_tokens = sum(len(crop.features.cells_ch) for crop in crops)
        source_tokens = told.source_tokens - roi_tokens
        return replace(
            told, source_tokens=source_tokens, roi_tokens=roi_tokens, boxes_px_xyxy=boxes
        )

    def _crops(self, boxes_px_xyxy: Sequence[BoxLike]) -> list[Crop]:
        parts, image = self.model.parts, self.images[0]
        found = []
        for box_px in boxes_px_xyxy:
            box_cells = pixels_to_cells(box_px, self.grid_hw, image.size)
            with torch.inference_mode():
                crop = encode_crop(
                    parts.backbone, parts.pipeline, image, box_cells, self.grid_hw, parts.config
                )
            if crop is not None:
                found.append(crop)
        return found


def laid_out(model: ZoomModel, prompt: str, features: Sequence[VisionFeatures]) -> PromptLayout:
    """A question about encoded pictures, as a session lays it out."""
    grids_hw, ids = [image.grid_hw for image in features], model.parts.ids
    input_ids = question_ids(model.require_tokenizer(), prompt, grids_hw, ids.image)
    return lay_out(input_ids, grids_hw, ids)


def enclosing(boxes_xyxy: Sequence[BoxLike]) -> BoxLike:
    """The smallest box around at least one box."""
    x1, y1, x2, y2 = zip(*boxes_xyxy, strict=True)
    return min(x1), min(y1), max(x2), max(y2)


def clipped(box_px_xyxy: BoxLike, size_px: tuple[int, int]) -> BoxLike | None:
    """What of a box lies on a picture of this width and height; None where nothing does."""
    width, height = size_px
    x1, y1, x2, y2 = box_px_xyxy
    x1, y1, x2, y2 = max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)
    # Also refuses what is no number at all.
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def pixels_of_cells(
    box_cells_xyxy: BoxLike, grid_hw: tuple[int, int], size_px: tuple[int, int]
) -> BoxLike:
    """Pixels that touch these cells and, despite rounding, no others."""
    (rows, cols), (width, height) = grid_hw, size_px
    x1, y1, x2, y2 = box_cells_xyxy
    inset = 0.01
    return (
        (x1 + inset) * width / cols,
        (y1 + inset) * height / rows,
        (x2 - inset) * width / cols,
        (y2 - inset) * height / rows,
    )
