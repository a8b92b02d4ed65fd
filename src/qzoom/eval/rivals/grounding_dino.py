"""An open-vocabulary detector, GroundingDINO, is shown the question; its best boxes are the crops.

The reference names no code for this rival. The detector reads phrases: it gets the first line of
the prompt, without what a harness adds on further lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from PIL import Image

from qzoom.checkpoints.locate import checkpoint_folder
from qzoom.errors import ConfigError
from qzoom.eval.methods.registry import MethodOptions
from qzoom.eval.rivals.looker import CropAs, Looker
from qzoom.eval.rivals.second_look import CropMethod, Found, LookSettings, look_settings
from qzoom.geometry.boxes import BoxLike, intersection_over_union
from qzoom.zoom.model import ZoomModel

MAX_PHRASE_TOKENS = 256
"""GroundingDINO's own limit."""


@dataclass(frozen=True)
class DetectorSettings(LookSettings):
    """detector: folder or hub id of a GroundingDINO checkpoint in safetensors.

    least_score: boxes below are no answer; where none is left, the picture is not zoomed.
    most_overlap: a second box that shares more than this with the first (IoU) is the same one.
    """

    detector: str = ""
    least_score: float = 0.25
    most_overlap: float = 0.5


class Detector(Protocol):
    """Finds what a phrase names."""

    def __call__(self, image: Image.Image, phrase: str) -> list[tuple[float, BoxLike]]:
        """Scores and boxes in pixels of the picture, in any order."""


def build_one(model: ZoomModel, options: MethodOptions) -> CropMethod:
    """Crop the best box."""
    return detecting(model, options, 1)


def build_two(model: ZoomModel, options: MethodOptions) -> CropMethod:
    """Crop the two best boxes.

    As pictures of their own by default: qzoom's second look takes one crop, so that
    `crop_as="aligned"` looks at the one box that encloses them.
    """
    return detecting(model, options, 2)


def detecting(
    model: ZoomModel, options: MethodOptions, boxes: int, detector: Detector | None = None
) -> CropMethod:
    """Look at so many boxes.

    Args:
        detector: None loads the one that the settings name.

    Raises:
        ConfigError: when no detector is named, or it is none.
        CheckpointError: when it is neither a folder nor can be downloaded.
    """
    name = f"grounding_dino_{boxes}"
    crop_as: CropAs = "aligned" if boxes == 1 else "image"
    settings = look_settings(DetectorSettings(crop_as), model, options, name)
    detect = detector or TransformersDetector(settings.detector, model.device)

    def find(looker: Looker, prompt: str, boxes_px_xyxy: Sequence[BoxLike]) -> Found:
        found = detect(looker.images[0], phrase_of(prompt))
        kept = [pair for pair in found if pair[0] >= settings.least_score]
        return Found(tuple(best_boxes(kept, boxes, settings.most_overlap)))

    return CropMethod(name, model, settings, find)


def phrase_of(prompt: str) -> str:
    """The first line with text, in lower case and with a full stop, as the detector expects it."""
    line = next((line.strip() for line in prompt.splitlines() if line.strip()), "")
    return line.lower().rstrip(".") + "."


def best_boxes(
    found: Sequence[tuple[float, BoxLike]], count: int, most_overlap: float
) -> list[BoxLike]:
    """Boxes by falling score, without those that repeat a better one."""
    kept: list[BoxLike] = []
    for _, box in sorted(found, key=lambda pair: -pair[0]):
        if all(intersection_over_union(box, other) <= most_overlap for other in kept):
            kept.append(box)
    return kept[:count]


class TransformersDetector:
    """GroundingDINO of the installed transformers."""

    def __init__(self, name: str, device: torch.device) -> None:
        """Load a checkpoint.

        Raises:
            ConfigError: when no detector is named, or it cannot be loaded as one.
            CheckpointError: when it is neither a folder nor can be downloaded.
        """
        if not name:
            raise ConfigError(
                "no detector is named; give --set detector=DIR, a folder or hub id such as "
                "IDEA-Research/grounding-dino-base"
            )
        from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

        processors: Any = AutoProcessor
        detectors: Any = AutoModelForZeroShotObjectDetection
        folder = checkpoint_folder(name)
        try:
            self._processor = processors.from_pretrained(folder)
            loaded = detectors.from_pretrained(folder, use_safetensors=True)
        except (OSError, ValueError, KeyError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise ConfigError(f"detector {name} cannot be loaded: {first}") from None
        if not hasattr(self._processor, "post_process_grounded_object_detection"):
            kind = type(self._processor).__name__
            raise ConfigError(f"detector {name} comes with a {kind}; need a GroundingDINO")
        self._detector = loaded.to(device).eval()

    @torch.inference_mode()
    def __call__(self, image: Image.Image, phrase: str) -> list[tuple[float, BoxLike]]:
        """All boxes with their scores."""
        inputs = self._processor(
            images=image,
            text=phrase,
            return_tensors="pt",
            truncation=True,
            max_length=min(MAX_PHRASE_TOKENS, self._detector.config.max_text_len),
        ).to(self._detector.device)
        outputs = self._detector(**inputs)
        width, height = image.size
        (found,) = self._processor.post_process_grounded_object_detection(
            outputs, inputs["input_ids"], threshold=0.0, target_sizes=[(height, width)]
        )
        boxes = [tuple(box) for box in found["boxes"].tolist()]
        return list(zip(found["scores"].tolist(), boxes, strict=True))
