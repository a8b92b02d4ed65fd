"""qzoom's own decision, then everything from scratch: what the shared prefix saves.

Gate and region network are asked as ever. Where they zoom, picture and crop are encoded and the
whole prompt, positions and all, runs through every layer again: the same numbers, more work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from qzoom.errors import ConfigError
from qzoom.eval.methods.base import Told
from qzoom.eval.methods.extra import NoSettings, with_extra
from qzoom.eval.methods.own import OwnMethod
from qzoom.eval.methods.registry import MethodOptions
from qzoom.eval.rivals.looker import laid_out
from qzoom.eval.rivals.second_look import Clock
from qzoom.geometry.boxes import BoxLike
from qzoom.steps import finish
from qzoom.zoom.answered import Answered
from qzoom.zoom.crops import Crop
from qzoom.zoom.lanes import direct_lane
from qzoom.zoom.model import ZoomModel
from qzoom.zoom.requests import Run, batch_of, start
from qzoom.zoom.routing import ask_gate, find_regions, take_crop
from qzoom.zoom.tap import Tap, take_tap
from qzoom.zoom.text import TextTracker
from qzoom.zoom.tickets import Ticket, Work
from qzoom.zoom.timings import Timings


@dataclass(frozen=True)
class TwoPrefillMethod:
    """zoom: the method whose decision and thresholds these are."""

    zoom: OwnMethod
    name: str = "two_prefill"

    def open(self, images: Sequence[Image.Image]) -> TwoPrefillOpened:
        """Nothing is kept between questions."""
        return TwoPrefillOpened(self.zoom, list(images))

    def settings(self) -> dict[str, Any]:
        """Those of "zoom"."""
        return self.zoom.settings()


def build(model: ZoomModel, options: MethodOptions) -> TwoPrefillMethod:
    """Two prefills on a zooming model.

    Raises:
        ConfigError: for a plain backbone, and for a setting: it has none of its own.
    """
    with_extra(NoSettings(), options.extra, "two_prefill")
    if not model.config.enabled:
        raise ConfigError(f"{model.name} is a plain backbone; two_prefill needs zoom branches")
    return TwoPrefillMethod(OwnMethod("zoom", model, options.gate_threshold, options.roi_threshold))


@dataclass(frozen=True)
class TwoPrefillOpened:
    """Pictures and how they are asked about."""

    zoom: OwnMethod
    images: list[Image.Image]

    @torch.inference_mode()
    def ask(self, prompt: str, max_new_tokens: int, boxes_px_xyxy: Sequence[BoxLike] = ()) -> Told:
        """Decide, then answer; seconds are those of "encode", "locate", "answer" and "total"."""
        model, clock = self.zoom.model, Clock()
        text = TextTracker(model.require_tokenizer(), ())
        features = model.encode(self.images)
        clock.end("encode")
        options = model.options(
            max_new_tokens=max_new_tokens,
            gate_threshold=self.zoom.gate_threshold,
            roi_threshold=self.zoom.roi_threshold,
        )
        layout = laid_out(model, prompt, features)
        work = batch_of(model.parts, options, [layout], [self.images], [features])
        tap, ticket = finish(take_tap(work)), work.tickets[0]
        zooms = _decide(work, tap)
        clock.end("locate")
        run = self._from_scratch(ticket, max_new_tokens, text) if zooms else _go_on(work, tap, text)
        run.finish()
        text.finish()
        clock.end("answer")
        crop = ticket.crop
        return Told(
            text.text,
            layout.source_cells,
            crop.grid_hw[0] * crop.grid_hw[1] if crop else 0,
            len(run.answered[0].token_ids),
            ticket.answered.length,
            ticket.gate_probability,
            (crop.box_px_xyxy,) if crop else (),
            2 if crop else 1,
            clock.read(),
        )

    def _from_scratch(self, ticket: Ticket, max_new_tokens: int, text: TextTracker) -> Run:
        assert isinstance(ticket.crop, Crop)
        model = self.zoom.model
        features = [*model.encode(self.images), ticket.crop.features]
        options = model.options(zoom="never", max_new_tokens=max_new_tokens)
        work = batch_of(model.parts, options, [ticket.answered], [self.images], [features])
        return start(work, Timings(), [text])


def _decide(work: Work, tap: Tap) -> bool:
    """Whether gate and region network want a crop, which is then on the ticket."""
    members = ask_gate(work, tap)
    found = find_regions(work, tap, members) if members else []
    return bool(found) and take_crop(work, work.tickets[0])


def _go_on(work: Work, tap: Tap, text: TextTracker) -> Run:
    """The coarse pass carried to its end."""
    lane = finish(direct_lane(work, tap, [0]))
    answered = [Answered(work.tickets[0], work.options, text)]
    return Run(work.parts, answered, [lane], Timings())
