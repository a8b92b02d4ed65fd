"""What a way of answering is to the runner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from PIL import Image

from qzoom.geometry.boxes import BoxLike
from qzoom.zoom.answer import ZoomAnswer


@dataclass(frozen=True)
class Told:
    """A reply and what it cost.

    source_tokens, roi_tokens: cells of the pictures, and of the crops, that the final prompt holds.
    boxes_px_xyxy: crops, in pixels of the first picture.
    prefills: passes of a prompt, or a part of one that was not in a cache, through the trunk.
    seconds: by part, "total" among them, without the decoding of the picture.
    extra_new_tokens: generated on the way to the reply, and no part of it.
    """

    text: str
    source_tokens: int
    roi_tokens: int
    new_tokens: int
    prompt_tokens: int
    gate_probability: float | None = None
    boxes_px_xyxy: tuple[BoxLike, ...] = ()
    prefills: int = 1
    seconds: Mapping[str, float] = field(default_factory=dict)
    extra_new_tokens: int = 0

    @property
    def zoomed(self) -> bool:
        """Whether a crop was looked at."""
        return bool(self.boxes_px_xyxy)


class Opened(Protocol):
    """Pictures that questions can be asked about."""

    def ask(self, prompt: str, max_new_tokens: int, boxes_px_xyxy: Sequence[BoxLike] = ()) -> Told:
        """Answer greedily.

        Args:
            boxes_px_xyxy: where the answer is, for a method that is told (an upper bound).
        """


class Method(Protocol):
    """A way of answering with a model, thresholds and budgets fixed."""

    @property
    def name(self) -> str:
        """As on the command line."""

    def open(self, images: Sequence[Image.Image]) -> Opened:
        """Take decoded pictures."""

    def settings(self) -> dict[str, Any]:
        """Model, budgets and thresholds: all that is needed to do it again, as JSON."""


def told_of(answer: ZoomAnswer) -> Told:
    """An engine's answer as a reply."""
    usage = answer.usage
    return Told(
        answer.text,
        usage["visual_tokens"],
        usage["roi_tokens"],
        usage["new_tokens"],
        usage["prompt_tokens"],
        answer.gate_probability,
        tuple(answer.boxes_xyxy_px) if answer.zoomed else (),
        2 if answer.zoomed else 1,
        dict(answer.timings_s),
    )
