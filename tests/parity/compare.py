"""How far what qzoom computes lies from what the reference stored."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from tests.parity.goldens import GoldenCase, GoldenRun
from torch import Tensor

from qzoom.geometry.boxes import Box
from qzoom.zoom.crops import encode_crop
from qzoom.zoom.model import ZoomModel

LIMITS = {
    "pixel_values": 1e-6,
    "gate": 1e-5,
    "roi_logits": 1e-4,
    "roi_features": 1e-4,
    "positions": 1e-5,
    "logits": 1e-4,
    "loss": 1e-5,
    "gradient_norms": 1e-3,
}
"""Largest difference allowed, fp32 (of gradient norms relative); what is not listed is equal."""


@dataclass(frozen=True)
class Difference:
    """One compared quantity.

    value: largest absolute difference; of exact quantities 0.0 or infinity.
    """

    name: str
    value: float

    @property
    def ok(self) -> bool:
        """Whether it is within the limit of its name."""
        return self.value <= LIMITS.get(self.name, 0.0)

    def __str__(self) -> str:
        if self.name not in LIMITS:
            return f"{self.name} {'same' if self.ok else 'DIFFERS'}"
        return f"{self.name} {self.value:.1e}" + ("" if self.ok else f" > {LIMITS[self.name]:.0e}")


def case_differences(model: ZoomModel, case: GoldenCase) -> list[Difference]:
    """What does not depend on the run: the patches of the source picture."""
    pixels = model.pipeline([case.image()])
    found = [_exact("source_grid", pixels.image_grid_thw[0], case.record["image_grid_thw"])]
    if "pixel_values" in case.tensors:
        value = largest(pixels.pixel_values, case.tensors["pixel_values"])
        found.append(Difference("pixel_values", value))
    return found


def run_differences(model: ZoomModel, case: GoldenCase, run: GoldenRun) -> list[Difference]:
    """Generate under the run's thresholds and compare all that was stored of it."""
    out = model.generate(case.input_ids, images=[case.image()], return_details=True, **run.options)
    return [*details_differences(out, case, run), *_crop_features(model, case, run)]


def details_differences(
    out: Any, case: GoldenCase, run: GoldenRun, row: int = 0
) -> Iterator[Difference]:
    """Compare batch row `row` of a `GenerateOutput` with a stored run."""
    yield Difference("gate", largest(out.gate_probability[row], case.tensors["gate_probability"]))
    yield _exact("zoomed", out.zoomed[row], run.zoomed)
    yield Difference("roi_logits", largest(out.roi_logits[row], run.tensors.get("roi_logits")))
    if "sink_keep" in run.tensors:
        keep = out.sink_keep[row]
        # None stands for a rule that struck no cell.
        kept = torch.ones_like(run.tensors["sink_keep"]) if keep is None else keep
        yield _exact("sink_keep", kept, run.tensors["sink_keep"])
    for name in ("roi_box_cells", "roi_grid_thw", "zoomed_input_ids"):
        yield _exact(name, getattr(out, name)[row], run.record.get(name))
    if "position_ids" in run.tensors:
        yield Difference("positions", largest(out.position_ids[row], run.tensors["position_ids"]))
    yield Difference("logits", largest(out.logits[row], run.tensors["logits"]))
    yield _exact("tokens", out.sequences[row, -len(run.tokens) :], run.tokens)


def misses(differences: Iterable[Difference]) -> list[str]:
    """Those over their limit, in words."""
    return [str(difference) for difference in differences if not difference.ok]


def largest(found: Any, stored: Any) -> float:
    """Largest absolute difference; infinity where a shape differs, one is missing or not finite."""
    if found is None or stored is None:
        return 0.0 if found is stored else math.inf
    a, b = (torch.as_tensor(value).detach().double().cpu().squeeze() for value in (found, stored))
    if a.shape != b.shape:
        return math.inf
    worst = float((a - b).abs().max()) if a.numel() else 0.0
    return worst if math.isfinite(worst) else math.inf


def _crop_features(model: ZoomModel, case: GoldenCase, run: GoldenRun) -> Iterator[Difference]:
    stored = run.tensors.get("roi_features")
    if stored is None:
        return
    parts = model.parts
    _, high, wide = case.record["image_grid_thw"]
    grid_hw = (high // parts.pipeline.merge_size, wide // parts.pipeline.merge_size)
    box = Box(*run.record["roi_box_cells"])
    with torch.inference_mode():
        crop = encode_crop(parts.backbone, parts.pipeline, case.image(), box, grid_hw, parts.config)
    yield Difference("roi_features", largest(crop and crop.features.cells_ch, stored))


def _exact(name: str, found: Any, stored: Any) -> Difference:
    same = _plain(found) == _plain(stored)
    return Difference(name, 0.0 if same else math.inf)


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.float().tolist() if value.is_floating_point() else value.tolist()
    return list(value) if isinstance(value, tuple) else value
