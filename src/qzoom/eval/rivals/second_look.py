"""What rivals share: localise somehow, then look at the crop the way qzoom does.

So that methods differ in where they look, and in what finding out costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, TypeVar

from PIL import Image

from qzoom.errors import ConfigError
from qzoom.eval.methods.base import Told, told_of
from qzoom.eval.methods.extra import as_json, with_extra
from qzoom.eval.methods.own import described
from qzoom.eval.methods.registry import MethodOptions
from qzoom.eval.rivals.looker import CropAs, Looker, clipped
from qzoom.geometry.boxes import BoxLike
from qzoom.zoom.model import ZoomModel


@dataclass(frozen=True)
class LookSettings:
    """crop_as: see `CropAs`; "aligned" needs zoom branches and is the default where there are."""

    crop_as: CropAs = "aligned"


S = TypeVar("S", bound=LookSettings)


@dataclass(frozen=True)
class Found:
    """Where to look, and what it cost to find out.

    boxes_px_xyxy: on the first picture; they may reach beyond it. None at all: answer directly.
    prefills: passes through the trunk, those that end at a middle layer counted as whole ones.
    new_tokens: generated on the way.
    """

    boxes_px_xyxy: tuple[BoxLike, ...] = ()
    prefills: int = 0
    new_tokens: int = 0


Find = Callable[[Looker, str, Sequence[BoxLike]], Found]
"""Localises: gets the pictures, the prompt, and where the answer is, which only an oracle reads."""


def look_settings(default: S, model: ZoomModel, options: MethodOptions, name: str) -> S:
    """A rival's settings: its defaults, the best second look of the model, what a caller gave.

    Raises:
        ConfigError: for an unknown or mistyped setting, and for "aligned" on a plain backbone.
    """
    best: CropAs = default.crop_as if model.config.enabled else "image"
    settings = with_extra(replace(default, crop_as=best), options.extra, name)
    if settings.crop_as == "aligned" and not model.config.enabled:
        raise ConfigError(
            f"{model.name} is a plain backbone; crop_as='aligned' needs zoom branches, use 'image'"
        )
    return settings


@dataclass(frozen=True)
class CropMethod:
    """A way of finding boxes, followed by the shared second look.

    derived: what follows from the model and rows have to say besides the settings.
    """

    name: str
    model: ZoomModel
    own_settings: LookSettings
    find: Find
    derived: Mapping[str, Any] = field(default_factory=dict)

    def open(self, images: Sequence[Image.Image]) -> CropOpened:
        """Nothing is computed before the first question."""
        return CropOpened(self, Looker(self.model, images))

    def settings(self) -> dict[str, Any]:
        """Model, budget and everything that decides a box."""
        return described(self.model) | as_json(self.own_settings) | dict(self.derived)


@dataclass(frozen=True)
class CropOpened:
    """Pictures and how they are asked about."""

    method: CropMethod
    looker: Looker

    def ask(self, prompt: str, max_new_tokens: int, boxes_px_xyxy: Sequence[BoxLike] = ()) -> Told:
        """Localise, then answer; seconds are those of "encode", "locate", "answer" and "total"."""
        looker, clock = self.looker, Clock()
        images = looker.images if looker.features else []
        clock.end("encode")
        found = self.method.find(looker, prompt, boxes_px_xyxy) if images else Found()
        clock.end("locate")
        shown = (clipped(box, images[0].size) for box in found.boxes_px_xyxy)
        if boxes := [box for box in shown if box is not None]:
            crop_as = self.method.own_settings.crop_as
            told = looker.closer(prompt, boxes, max_new_tokens, crop_as)
        else:
            told = told_of(looker.direct(prompt, max_new_tokens))
        clock.end("answer")
        return replace(
            told,
            prefills=told.prefills + found.prefills,
            extra_new_tokens=found.new_tokens,
            seconds=clock.read(),
        )


class Clock:
    """Seconds of parts that follow each other, and of all of them."""

    def __init__(self) -> None:
        self._began = self._last = perf_counter()
        self._seconds: dict[str, float] = {}

    def end(self, name: str) -> None:
        """End a part and begin the next."""
        now = perf_counter()
        self._seconds[name] = now - self._last
        self._last = now

    def read(self) -> dict[str, float]:
        """Seconds of each part, and "total" up to the end of the last."""
        found = self._seconds | {"total": self._last - self._began}
        return {name: round(seconds, 6) for name, seconds in found.items()}
