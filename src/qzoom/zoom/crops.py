"""From a box on the source's cells to the encoded crop."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from qzoom.backbones.base import Backbone, VisionFeatures
from qzoom.errors import ImageError
from qzoom.geometry.boxes import Box, cells_to_pixels, crop_to_cells
from qzoom.images.crop import crop_px
from qzoom.images.pipeline import ImagePipeline
from qzoom.zoom.config import ZoomConfig


@dataclass(frozen=True)
class Crop:
    """An encoded crop.

    box_px_xyxy: what was cut out of the source picture, in its pixels.
    grid_thw: the crop's own grid, in patches.
    """

    box_px_xyxy: Box
    grid_thw: tuple[int, int, int]
    features: VisionFeatures

    @property
    def grid_hw(self) -> tuple[int, int]:
        """Rows and columns of its cells."""
        return self.features.grid_hw


def encode_crop(
    backbone: Backbone,
    pipeline: ImagePipeline,
    image: Image.Image,
    box_cells_xyxy: Box,
    grid_hw: tuple[int, int],
    config: ZoomConfig,
) -> Crop | None:
    """Cut, resize under the crop's budget and encode; None for a crop too thin to encode.

    Args:
        box_cells_xyxy: what to cut out, in cells of the source's grid `grid_hw`.
    """
    found = cut_crop(pipeline, image, box_cells_xyxy, grid_hw, config)
    if found is None:
        return None
    box_px, crop = found
    pixels = crop_pipeline(pipeline, config)([crop])
    _, high, wide = (int(n) for n in pixels.image_grid_thw[0].tolist())
    features = backbone.encode(pixels.pixel_values, pixels.image_grid_thw)[0]
    return Crop(box_px, (1, high, wide), features)


def cut_crop(
    pipeline: ImagePipeline,
    image: Image.Image,
    box_cells_xyxy: Box,
    grid_hw: tuple[int, int],
    config: ZoomConfig,
) -> tuple[Box, Image.Image] | None:
    """Where a box of cells lies in source pixels and what it shows; None if too thin to encode."""
    box_px = cells_to_pixels(
        box_cells_xyxy,
        grid_hw,
        image.size,
        config.min_crop_side_px,
        reference_cell_side_px=pipeline.cell_side_px,
    )
    crop = crop_px(image, box_px)
    try:
        crop_pipeline(pipeline, config).grid_thw_for_size(crop.size)
    except ImageError:
        return None
    return box_px, crop


def cells_of_crop(
    pipeline: ImagePipeline,
    image_size_px: tuple[int, int],
    crop_px_xyxy: Box | tuple[int, int, int, int],
    grid_hw: tuple[int, int],
    config: ZoomConfig,
) -> Box:
    """The box of cells behind a crop that `cut_crop` made; any other grows to whole cells."""
    return crop_to_cells(
        crop_px_xyxy,
        grid_hw,
        image_size_px,
        config.min_crop_side_px,
        reference_cell_side_px=pipeline.cell_side_px,
    )


def crop_pipeline(pipeline: ImagePipeline, config: ZoomConfig) -> ImagePipeline:
    """The budget of crops: the source's own, or what the configuration puts in its place."""
    if not (config.min_crop_cells or config.max_crop_cells):
        return pipeline  # to the pixel: its own budget need not be whole cells
    least, most = pipeline.budget_cells
    most = config.max_crop_cells or max(most, config.min_crop_cells)
    return pipeline.with_budget(min(config.min_crop_cells or least, most), most)
