"""The known place of the answer: an upper bound on where to look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qzoom.errors import ConfigError
from qzoom.eval.methods.registry import MethodOptions
from qzoom.eval.rivals.looker import Looker, enclosing
from qzoom.eval.rivals.second_look import CropMethod, Found, LookSettings, look_settings
from qzoom.geometry.boxes import BoxLike
from qzoom.zoom.model import ZoomModel


@dataclass(frozen=True)
class OracleSettings(LookSettings):
    """margin: added on each side, as a share of the box's longer one.

    A crop of nothing but the answer's print hides what the question is about.
    """

    margin: float = 1.0


def build(model: ZoomModel, options: MethodOptions) -> CropMethod:
    """Crop around all boxes of the answer; without one, answer directly.

    Raises:
        ConfigError: for a margin below 0.
    """
    settings = look_settings(OracleSettings(), model, options, "oracle")
    if settings.margin < 0:
        raise ConfigError(f"margin is {settings.margin}; give at least 0")

    def find(looker: Looker, prompt: str, boxes_px_xyxy: Sequence[BoxLike]) -> Found:
        if not boxes_px_xyxy:
            return Found()
        x1, y1, x2, y2 = enclosing(boxes_px_xyxy)
        more = settings.margin * max(x2 - x1, y2 - y1)
        return Found(((x1 - more, y1 - more, x2 + more, y2 + more),))

    return CropMethod("oracle", model, settings, find)
