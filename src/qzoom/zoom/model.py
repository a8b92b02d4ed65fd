"""A loaded model: immutable, shared by any number of sessions and threads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from qzoom.backbones.base import VisionFeatures
from qzoom.backbones.registry import backbone_for
from qzoom.errors import ConfigError, PromptError
from qzoom.images.decode import ImageSource, decode_image
from qzoom.images.pipeline import ImagePipeline
from qzoom.zoom.answer import GenerateOutput, ZoomAnswer
from qzoom.zoom.batch import answer_many
from qzoom.zoom.config import ZoomConfig
from qzoom.zoom.generate import generate
from qzoom.zoom.parts import ModelParts
from qzoom.zoom.prompt import SpecialIds
from qzoom.zoom.requests import Options
from qzoom.zoom.sampling import Sampling
from qzoom.zoom.session import ImageSession

if TYPE_CHECKING:
    from qzoom.checkpoints.load import LoadedCheckpoint

Images = ImageSource | Sequence[ImageSource]


class ZoomModel:
    """A vision-language model that looks twice when a question needs it.

    Made by `qzoom.load`. Nothing on it changes after construction.
    """

    def __init__(self, checkpoint: LoadedCheckpoint) -> None:
        trunk = checkpoint.trunk.eval()
        config = trunk.config
        add_on = checkpoint.add_on.eval() if checkpoint.add_on is not None else None
        self.checkpoint = checkpoint
        self.parts = ModelParts(
            backbone_for(trunk),
            add_on,
            ImagePipeline.from_config(checkpoint.image_settings),
            checkpoint.config,
            SpecialIds(
                config.image_token_id, config.vision_start_token_id, config.vision_end_token_id
            ),
        )
        levels = len(getattr(self.parts.backbone.visual, "deepstack_merger_list", ()))
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

    def with_budget(self, *, min_cells: int | None = None, max_cells: int | None = None) -> ZoomModel:
        """The same weights looking at pictures (and crops) under another budget of cells."""
        cell = self.pipeline.cell_side_px**2
        pipeline = self.pipeline.with_budget(
            min_cells or self.pipeline.min_pixels // cell,
            max_cells or self.pipeline.max_pixels // cell,
        )
        clone = object.__new__(ZoomModel)
        clone.checkpoint = self.checkpoint
        parts = self.parts
        clone.parts = ModelParts(parts.backbone, parts.add_on, pipeline, parts.config, parts.ids)
        return clone

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
        self, pairs: Sequence[tuple[Images, str]], **options: Any
    ) -> list[ZoomAnswer]:
        """Answer (images, question) pairs as one ragged batch, each routed on its own.

        Args:
            options: as for `ImageSession.ask`.
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
        """Decode images once, through the one gate for all of them."""
        many = isinstance(images, Sequence) and not isinstance(images, (str, bytes))
        sources: Sequence[Any] = images if many else [images]  # type: ignore[assignment]
        return [decode_image(source) for source in sources]

    def encode(self, images: Sequence[Image.Image]) -> list[VisionFeatures]:
        """Encode decoded images in one call."""
        if not images:
            return []
        pixels = self.pipeline(images)
        with torch.inference_mode():
            return self.parts.backbone.encode(pixels.pixel_values, pixels.image_grid_thw)

    def options(
        self,
        *,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        top_p: float = 1.0,
        top_k: int = 0,
        repetition_penalty: float = 1.0,
        seed: int | None = None,
        stop: str | Sequence[str] | None = None,
        zoom: str = "auto",
        gate_threshold: float | None = None,
        roi_threshold: float | None = None,
        eos_token_id: int | Sequence[int] | None = None,
    ) -> Options:
        """Validated options of a request; see `ImageSession.ask`.

        Raises:
            ConfigError: for a value out of range.
        """
        if zoom not in ("auto", "never", "always"):
            raise ConfigError(f"zoom is {zoom!r}; use 'auto', 'never' or 'always'")
        stops = (stop,) if isinstance(stop, str) else tuple(stop or ())
        if "" in stops:
            raise ConfigError("a stop string is empty; give at least one character")
        return Options(
            self.config.with_overrides(gate_threshold=gate_threshold, roi_threshold=roi_threshold),
            Sampling(max_new_tokens, temperature, top_p, top_k, repetition_penalty, seed),
            self._end_tokens(eos_token_id),
            zoom,  # type: ignore[arg-type]
            stops,
        )

    def _end_tokens(self, given: int | Sequence[int] | None) -> frozenset[int]:
        chosen: Any = given
        if chosen is None:
            chosen = getattr(self.checkpoint.generation_config, "eos_token_id", None)
        if chosen is None and self.tokenizer is not None:
            chosen = self.tokenizer.eos_token_id
        if chosen is None:
            chosen = getattr(self.parts.backbone.language.config, "eos_token_id", None)
        if chosen is None:
            return frozenset()
        return frozenset([chosen] if isinstance(chosen, int) else chosen)
