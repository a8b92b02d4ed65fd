"""A loaded model: immutable, shared by any number of sessions and threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import torch
from PIL import Image
from torch import Tensor

from qzoom.backbones.base import VisionFeatures
from qzoom.backbones.registry import backbone_for
from qzoom.errors import ConfigError, PromptError
from qzoom.geometry.grids import cells_of
from qzoom.images.decode import ImageSource, decode_image
from qzoom.images.pipeline import ImagePipeline
from qzoom.zoom.answer import GenerateOutput, ZoomAnswer
from qzoom.zoom.batch import answer_many, as_list
from qzoom.zoom.config import ZoomConfig
from qzoom.zoom.generate import generate
from qzoom.zoom.native import mode_settings
from qzoom.zoom.options import AskOptions, Options, read_options
from qzoom.zoom.parts import ModelParts
from qzoom.zoom.prompt import SpecialIds
from qzoom.zoom.session import ImageSession

if TYPE_CHECKING:
    from qzoom.checkpoints.loaded import LoadedCheckpoint

Images = ImageSource | Sequence[ImageSource]


class ZoomModel:
    """A vision-language model that looks twice when a question needs it.

    Made by `qzoom.load`. Nothing on it changes after construction.
    """

    def __init__(self, checkpoint: LoadedCheckpoint) -> None:
        trunk = checkpoint.trunk
        trunk.train(False)
        if checkpoint.add_on is not None:
            checkpoint.add_on.train(False)
        config: Any = trunk.config
        self.checkpoint = checkpoint
        self.parts = ModelParts(
            backbone_for(trunk),
            checkpoint.add_on,
            ImagePipeline.from_config(checkpoint.image_settings),
            checkpoint.config,
            SpecialIds(
                config.image_token_id, config.vision_start_token_id, config.vision_end_token_id
            ),
        )
        levels = self.parts.backbone.deepstack_levels
        if levels > self.parts.split:
            raise ConfigError(
                f"split_layer (twig_K) is {self.parts.split}; it must be at least the "
                f"{levels} deepstack levels"
            )

    @property
    def config(self) -> ZoomConfig:
        """Where the branches sit and the thresholds in force; `enabled` is false without them."""
        return self.parts.config

    @property
    def pipeline(self) -> ImagePipeline:
        """How pictures become patches, and the budget of cells."""
        return self.parts.pipeline

    @property
    def tokenizer(self) -> Any:
        """The checkpoint's tokenizer, or None."""
        return self.checkpoint.tokenizer

    @property
    def name(self) -> str:
        """Folder or hub id it was loaded from."""
        return self.checkpoint.name

    @property
    def family(self) -> str:
        """Backbone family, such as "qwen3_vl"."""
        return self.parts.backbone.family

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.parts.backbone.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return self.parts.backbone.dtype

    def require_tokenizer(self) -> Any:
        """The tokenizer.

        Raises:
            PromptError: when the checkpoint has none.
        """
        if self.tokenizer is None:
            raise PromptError(
                f"{self.name} has no tokenizer.json; ask with token ids through generate()"
            )
        return self.tokenizer

    def with_budget(
        self, *, min_cells: int | None = None, max_cells: int | None = None
    ) -> ZoomModel:
        """The same weights looking at pictures (and crops) under another budget of cells.

        Args:
            min_cells, max_cells: per picture; where only one is given the other stays, or follows
                when it would lie on the wrong side.

        Raises:
            ConfigError: for a budget below 1 cell, or a least above the greatest.
        """
        least, most = self.pipeline.budget_cells
        if min_cells is None:
            least = min(least, most if max_cells is None else max_cells)
        if max_cells is None:
            most = most if min_cells is None else max(most, min_cells)
        pipeline = self.pipeline.with_budget(
            least if min_cells is None else min_cells, most if max_cells is None else max_cells
        )
        settings = self.checkpoint.image_settings | pipeline.to_dict()
        return ZoomModel(replace(self.checkpoint, image_settings=settings))

    def with_zoom(self, **settings: Any) -> ZoomModel:
        """The same weights with other fields of `ZoomConfig`; None keeps a field.

        Raises:
            ConfigError: for an unknown field or a value out of range.
        """
        config = self.config.with_overrides(**settings)
        return ZoomModel(replace(self.checkpoint, config=config))

    def with_mode(self, mode: str) -> ZoomModel:
        """The same weights zooming as published ("reference") or as `qzoom.zoom.native` says.

        Raises:
            ConfigError: for another mode.
        """
        return self.with_zoom(**mode_settings(mode, self.config, self.pipeline.budget_cells[1]))

    def open(self, images: Images, *, system: str | None = None) -> ImageSession:
        """Open one image or several for questions.

        Args:
            images: path, bytes, file object or PIL image, or a sequence of them; an empty
                sequence gives a text-only session.
            system: text of a system turn.

        Raises:
            ImageError: when an image cannot be used.
        """
        return ImageSession(self, self.decode(images), system)

    def ask_many(
        self, pairs: Sequence[tuple[Images, str]], **options: Unpack[AskOptions]
    ) -> list[ZoomAnswer]:
        """Answer (images, question) pairs as one ragged batch, each routed on its own.

        Args:
            options: as for `ImageSession.ask`, the same for all.

        Raises:
            QZoomError: for an image, a question or an option that cannot be used.
        """
        return answer_many(self, pairs, self.options(**options))

    def generate(self, input_ids: Tensor, **inputs: Any) -> Tensor | GenerateOutput:
        """Generate from a processor's tensors; see `qzoom.zoom.generate.generate`."""
        return generate(self, input_ids, **inputs)

    def save_pretrained(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the model in the published format, whole or not at all."""
        from qzoom.checkpoints.save import save_checkpoint

        return save_checkpoint(Path(folder), self.checkpoint, overwrite=overwrite)

    def decode(self, images: Images) -> list[Image.Image]:
        """Decode images once, through the one gate for all of them.

        Raises:
            ImageError: when one cannot be used.
        """
        return [decode_image(source) for source in as_list(images)]

    def grid_of(self, image: Image.Image) -> tuple[int, int]:
        """Rows and columns of cells that a decoded image gets.

        Raises:
            ImageError: when its sides differ by more than a factor of 200.
        """
        return cells_of(self.pipeline.grid_thw_for_size(image.size), self.pipeline.merge_size)

    def encode(self, images: Sequence[Image.Image]) -> list[VisionFeatures]:
        """Encode decoded images in one call."""
        if not images:
            return []
        pixels = self.pipeline(images)
        with torch.inference_mode():
            return self.parts.backbone.encode(pixels.pixel_values, pixels.image_grid_thw)

    def options(self, **options: Unpack[AskOptions]) -> Options:
        """Checked options of a request, filled up with the model's own.

        Raises:
            ConfigError: for an unknown option or a value out of range, and for zoom="always" on a
                plain backbone, which has nothing to zoom with.
        """
        return read_options(options, self.config, self._own_eos())

    def _own_eos(self) -> int | Sequence[int] | None:
        places: tuple[Any, ...] = (
            self.checkpoint.generation_config,
            self.tokenizer,
            self.parts.backbone.language.config,
        )
        found = (getattr(place, "eos_token_id", None) for place in places)
        return next((eos for eos in found if eos is not None), None)
