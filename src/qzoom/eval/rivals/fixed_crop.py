"""Crops that no content decides: anywhere, or in the middle; a lower bound on where to look."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from qzoom.errors import ConfigError
from qzoom.eval.methods.registry import MethodOptions
from qzoom.eval.rivals.looker import Looker
from qzoom.eval.rivals.second_look import CropMethod, Found, LookSettings, look_settings
from qzoom.geometry.boxes import BoxLike
from qzoom.zoom.model import ZoomModel


@dataclass(frozen=True)
class FixedSettings(LookSettings):
    """area: share of the picture's area; a crop has the picture's shape, grown to whole cells."""

    area: float = 0.25


def build_random(model: ZoomModel, options: MethodOptions) -> CropMethod:
    """A crop drawn from seed, prompt and the picture's size: a row comes out the same again."""
    settings = _settings(model, options, "random_crop")

    def find(looker: Looker, prompt: str, boxes_px_xyxy: Sequence[BoxLike]) -> Found:
        # The picture's pixels would take longer to hash than the crop to find.
        key = f"{options.seed}\n{looker.images[0].size}\n{prompt}"
        rng = Random(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest())
        return _crop_at(looker, settings, rng.random(), rng.random())

    return CropMethod("random_crop", model, settings, find, {"seed": options.seed})


def build_centre(model: ZoomModel, options: MethodOptions) -> CropMethod:
    """The middle of the picture."""
    settings = _settings(model, options, "centre_crop")

    def find(looker: Looker, prompt: str, boxes_px_xyxy: Sequence[BoxLike]) -> Found:
        return _crop_at(looker, settings, 0.5, 0.5)

    return CropMethod("centre_crop", model, settings, find)


def _settings(model: ZoomModel, options: MethodOptions, name: str) -> FixedSettings:
    settings = look_settings(FixedSettings(), model, options, name)
    if not 0 < settings.area <= 1:
        raise ConfigError(f"area is {settings.area}; give a share above 0, at most 1")
    return settings


def _crop_at(looker: Looker, settings: FixedSettings, right: float, down: float) -> Found:
    """A crop at these shares of the way from the left and upper edge to the other."""
    width, height = looker.images[0].size
    side: float = settings.area**0.5
    wide, high = side * width, side * height
    x1, y1 = right * (width - wide), down * (height - high)
    return Found(((x1, y1, x1 + wide, y1 + high),))
