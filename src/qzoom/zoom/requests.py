"""Running prompts to their answers: the one place where prefill and decoding meet."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import Tensor

from qzoom.backbones.base import VisionFeatures
from qzoom.zoom.config import ZoomConfig
from qzoom.zoom.decode import decode
from qzoom.zoom.parts import ModelParts
from qzoom.zoom.prefill import Lane, Prefill, Ticket, Zoom
from qzoom.zoom.prefix import PrefixState
from qzoom.zoom.prompt import PromptLayout
from qzoom.zoom.sampling import Sampling


@dataclass(frozen=True)
class Options:
    """Everything about a request besides prompt and pictures."""

    config: ZoomConfig
    sampling: Sampling
    eos_token_ids: frozenset[int]
    zoom: Zoom = "auto"
    stop: tuple[str, ...] = ()


@dataclass
class Answered:
    """One prompt with its tokens so far."""

    ticket: Ticket
    token_ids: list[int] = field(default_factory=list)
    logits: list[Tensor] = field(default_factory=list)


@dataclass
class Run:
    """One batch of prompts: prefilled at once, decoded lane by lane."""

    parts: ModelParts
    options: Options
    answered: list[Answered]
    lanes: list[Lane]
    timings_s: dict[str, float]
    keep_logits: bool = False

    def finish(self) -> None:
        """Decode every lane to its end."""
        for lane in self.lanes:
            for _ in self.steps(lane):
                pass

    def steps(self, lane: Lane) -> Iterator[list[int | None]]:
        """Decode one lane, collecting tokens; yields those of each step."""
        members = [self.answered[member] for member in lane.members]
        prompts = [member.ticket.answered for member in members]
        began = time.perf_counter()
        options = self.options
        for step in decode(self.parts, lane, prompts, options.sampling, options.eos_token_ids):
            for place, (member, token) in enumerate(zip(members, step.tokens, strict=True)):
                if token is not None:
                    member.token_ids.append(token)
                    if self.keep_logits:
                        member.logits.append(step.logits_bv[place])
            self.timings_s["decode"] = time.perf_counter() - began
            yield step.tokens


def start(
    parts: ModelParts,
    state: PrefixState | None,
    layouts: Sequence[PromptLayout],
    images: Sequence[Sequence[Image.Image]],
    features: Sequence[Sequence[VisionFeatures]],
    options: Options,
    *,
    keep_logits: bool = False,
) -> Run:
    """Prefill and route prompts.

    Args:
        state: a session's prefix (one prompt), or None for a batch that keeps nothing.
    """
    tickets = [
        Ticket(layout, pictures, encoded)
        for layout, pictures, encoded in zip(layouts, images, features, strict=True)
    ]
    state = state or PrefixState.empty(parts, layouts[0].prefix_length)
    prefill = Prefill(parts, options.config, options.zoom, tickets, state)
    with torch.inference_mode():
        state.rewind()
        lanes = prefill.run()
    answered = [Answered(ticket) for ticket in tickets]
    return Run(parts, options, answered, lanes, prefill.timings_s, keep_logits)
