"""qzoom's own ways: directly, zooming where the gate says so, and always."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image

from qzoom.eval.methods.base import Told, told_of
from qzoom.geometry.boxes import BoxLike
from qzoom.zoom.model import ZoomModel
from qzoom.zoom.options import Zoom
from qzoom.zoom.session import ImageSession

ZOOMS: Final[dict[str, Zoom]] = {"direct": "never", "zoom": "auto", "always": "always"}
"""By name of the method: "direct" is the plain resize baseline, "always" has no gate (SD-RPN)."""

ZOOM_FIELDS: Final = (
    *("mode", "roi_threshold_of", "min_crop_cells", "max_crop_cells", "min_crop_side_px"),
    *("blur_sigma", "sink_rule", "sink_cutoff", "align_roi_positions"),
)
"""Of `ZoomConfig`: what may be set without other weights, besides the thresholds."""


@dataclass(frozen=True)
class OwnMethod:
    """The engine with one setting of `zoom`."""

    name: str
    model: ZoomModel
    gate_threshold: float | None = None
    roi_threshold: float | None = None

    def open(self, images: Sequence[Image.Image]) -> OwnOpened:
        """A session."""
        return OwnOpened(self, self.model.open(list(images)))

    def settings(self) -> dict[str, Any]:
        """Budget, and the thresholds in force where they matter."""
        config, found = self.model.config, described(self.model)
        if self.name == "direct":
            return found
        if self.name == "zoom":
            found["gate_threshold"] = _either(self.gate_threshold, config.gate_threshold)
        return found | {"roi_threshold": _either(self.roi_threshold, config.roi_threshold)}


@dataclass(frozen=True)
class OwnOpened:
    """A session and how it is asked."""

    method: OwnMethod
    session: ImageSession

    def ask(self, prompt: str, max_new_tokens: int, boxes_px_xyxy: Sequence[BoxLike] = ()) -> Told:
        """Answer; where the answer is plays no part."""
        method = self.method
        answer = self.session.ask(
            prompt,
            zoom=ZOOMS[method.name],
            max_new_tokens=max_new_tokens,
            gate_threshold=method.gate_threshold,
            roi_threshold=method.roi_threshold,
        )
        return told_of(answer)


def described(model: ZoomModel) -> dict[str, Any]:
    """What every method says about its model: budget, and how crops are found and sized."""
    least, most = model.pipeline.budget_cells
    found = {"model": model.name, "min_cells": least, "max_cells": most}
    if not model.config.enabled:
        return found
    return found | {"zoom": {name: getattr(model.config, name) for name in ZOOM_FIELDS}}


def _either(given: float | None, own: float) -> float:
    return own if given is None else given
