"""From RGB images to the patches a Qwen-VL vision encoder reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, Self

import torch
from PIL import Image

from qzoom.errors import ConfigError, ImageError
from qzoom.geometry.grids import grid_thw_for

_REQUIRED_STEPS = ("do_resize", "do_rescale", "do_normalize", "do_convert_rgb")


class PixelBatch(NamedTuple):
    """Patches of several images, one after the other.

    `pixel_values` is float32 of shape `(patches, channels * time * patch * patch)`;
    `image_grid_thw` is long of shape `(images, 3)`: time, rows and columns in patches.
    """

    pixel_values: torch.Tensor
    image_grid_thw: torch.Tensor


@dataclass(frozen=True)
class ImagePipeline:
    """Resizes, normalises and cuts images into patches, with every setting explicit.

    `min_pixels` and `max_pixels` bound the area after the resize, in pixels; `patch_size` is in
    pixels and `merge_size` in patches per side of a cell; `resample` is Pillow's filter number.
    """

    patch_size: int
    merge_size: int
    min_pixels: int
    max_pixels: int
    image_mean: tuple[float, float, float]
    image_std: tuple[float, float, float]
    temporal_patch_size: int = 2
    resample: int = int(Image.Resampling.BICUBIC)
    rescale_factor: float = 1 / 255

    def __post_init__(self) -> None:
        sizes = (self.patch_size, self.merge_size, self.temporal_patch_size)
        if min(sizes) < 1 or not 0 < self.min_pixels <= self.max_pixels:
            raise ConfigError(
                "need patch, merge and temporal sizes >= 1 and 0 < min_pixels <= max_pixels, got "
                f"{sizes}, min_pixels={self.min_pixels}, max_pixels={self.max_pixels}"
            )
        if len(self.image_mean) != 3 or len(self.image_std) != 3 or min(self.image_std) <= 0:
            raise ConfigError(
                "image_mean and image_std need 3 numbers each, the latter above 0, got "
                f"{self.image_mean} and {self.image_std}"
            )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Read the settings of a `preprocessor_config.json`.

        The budget may be spelled `min_pixels`/`max_pixels` or `size` with `shortest_edge` and
        `longest_edge`; where both stand, the former wins, as in transformers.

        Raises:
            ConfigError: If a setting is missing, or the file describes another kind of processor.
        """
        kind = config.get("image_processor_type", "Qwen2VLImageProcessor")
        if not str(kind).startswith("Qwen2VLImageProcessor"):
            raise ConfigError(
                f"image processor {kind} is not supported; need Qwen2VLImageProcessor"
            )
        for step in _REQUIRED_STEPS:
            if not config.get(step, True):
                raise ConfigError(f"image processors with {step}=false are not supported")
        size = config.get("size") or {}
        optional = ("temporal_patch_size", "resample", "rescale_factor")
        return cls(
            patch_size=_need(config, "patch_size"),
            merge_size=_need(config, "merge_size"),
            min_pixels=_first(config.get("min_pixels"), size.get("shortest_edge"), "min_pixels"),
            max_pixels=_first(config.get("max_pixels"), size.get("longest_edge"), "max_pixels"),
            image_mean=tuple(_need(config, "image_mean")),
            image_std=tuple(_need(config, "image_std")),
            **{name: config[name] for name in optional if config.get(name) is not None},
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as a `preprocessor_config.json` that transformers also reads."""
        return {
            "image_processor_type": "Qwen2VLImageProcessor",
            **dict.fromkeys(_REQUIRED_STEPS, True),
            "patch_size": self.patch_size,
            "merge_size": self.merge_size,
            "temporal_patch_size": self.temporal_patch_size,
            "min_pixels": self.min_pixels,
            "max_pixels": self.max_pixels,
            "size": {"shortest_edge": self.min_pixels, "longest_edge": self.max_pixels},
            "image_mean": list(self.image_mean),
            "image_std": list(self.image_std),
            "resample": self.resample,
            "rescale_factor": self.rescale_factor,
        }

    @property
    def budget_cells(self) -> tuple[int, int]:
        """Least and most cells of a picture, whole ones and at least 1."""
        pixels = self.cell_side_px**2
        return max(1, self.min_pixels // pixels), max(1, self.max_pixels // pixels)

    def with_budget(self, min_cells: int, max_cells: int) -> Self:
        """Return the same pipeline with another budget, in cells (visual tokens) per image."""
        pixels = self.cell_side_px**2
        return replace(self, min_pixels=min_cells * pixels, max_pixels=max_cells * pixels)

    @property
    def cell_side_px(self) -> int:
        """Side of a cell after the resize, in pixels."""
        return self.patch_size * self.merge_size

    def grid_thw_for_size(self, size_px: tuple[int, int]) -> tuple[int, int, int]:
        """Return the patch grid of an image of this width and height, in pixels.

        Raises:
            ImageError: If a side is below 1 or the aspect ratio above 200.
        """
        width_px, height_px = size_px
        return grid_thw_for(
            height_px,
            width_px,
            patch_size_px=self.patch_size,
            merge_size=self.merge_size,
            min_pixels=self.min_pixels,
            max_pixels=self.max_pixels,
        )

    def __call__(self, images: Sequence[Image.Image]) -> PixelBatch:
        """Return the patches of images that came through `decode_image`, in order.

        Raises:
            ImageError: If there is no image, one is not RGB, or its aspect ratio is above 200.
        """
        if not images:
            raise ImageError("got 0 images; give at least 1")
        for image in images:
            if image.mode != "RGB":
                raise ImageError(f"image mode is {image.mode}, need RGB; use decode_image first")
            self.grid_thw_for_size(image.size)
        features = self._processor(images=list(images), return_tensors="pt")
        return PixelBatch(features["pixel_values"], features["image_grid_thw"])

    @cached_property
    def _processor(self) -> Any:
        # Importing transformers takes seconds, and geometry-only users never need it.
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
            Qwen2VLImageProcessorPil,
        )

        settings = self.to_dict()
        del settings["image_processor_type"]
        return Qwen2VLImageProcessorPil(**settings)


def _need(config: Mapping[str, Any], name: str) -> Any:
    if config.get(name) is None:
        raise ConfigError(f"preprocessor_config.json has no {name}")
    return config[name]


def _first(explicit: int | None, from_size: int | None, name: str) -> int:
    if explicit is not None:
        return explicit
    if from_size is not None:
        return from_size
    raise ConfigError(f"preprocessor_config.json sets neither {name} nor its edge under size")
