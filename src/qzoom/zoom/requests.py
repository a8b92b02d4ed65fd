"""Running prompts to their answers: the one place where prefill and decoding meet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import Tensor

from qzoom.backbones.base import VisionFeatures
from qzoom.zoom.answered import Answered
from qzoom.zoom.decode import Decoder
from qzoom.zoom.options import Options
from qzoom.zoom.parts import ModelParts
from qzoom.zoom.prefill import prefill
from qzoom.zoom.prefix import PrefixState
from qzoom.zoom.prompt import PromptLayout
from qzoom.zoom.text import TextTracker
from qzoom.zoom.tickets import Lane, Ticket, Work
from qzoom.zoom.timings import Timings


@dataclass
class Run:
    """One batch of prompts: prefilled at once, decoded together.

    logits: per prompt, each step's, of shape `(vocabulary,)`; empty where nobody wants them.
    """

    parts: ModelParts
    answered: list[Answered]
    lanes: list[Lane]
    timings: Timings
    logits: list[list[Tensor]] = field(default_factory=list)

    def finish(self) -> None:
        """Decode everything."""
        for _ in self.pieces():
            pass

    def pieces(self) -> Iterator[str]:
        """Decode everything; yields the text that each token of each prompt makes certain."""
        with self.timings.part("decode"):
            decoder = Decoder(self.parts)
            while self.lanes:
                lane = self.lanes.pop()
                members = [self.answered[member] for member in lane.members]
                decoder.join(lane, members, borrow=True)
        while decoder.members:
            with self.timings.part("decode"):
                given = decoder.take()
            for _, piece in given:
                yield piece
            with self.timings.part("decode"):
                if decoder.members:
                    decoder.advance()


def start(
    work: Work,
    timings: Timings,
    texts: Sequence[TextTracker | None] | None = None,
    *,
    keep_logits: bool = False,
) -> Run:
    """Prefill and route prompts.

    Args:
        texts: one tracker per prompt; None when tokens are all that is wanted.
        keep_logits: collect each step's logits on the run.
    """
    with torch.inference_mode():
        work.state.rewind()
        lanes = prefill(work, timings)
    trackers = [None] * len(work.tickets) if texts is None else texts
    answered = [
        Answered(ticket, work.options, text)
        for ticket, text in zip(work.tickets, trackers, strict=True)
    ]
    run = Run(work.parts, answered, lanes, timings)
    if keep_logits:
        run.logits = [_kept(each) for each in answered]
    return run


def _kept(answered: Answered) -> list[Tensor]:
    """A list that gets the logits of each step of an answer."""
    logits: list[Tensor] = []
    answered.observe = lambda logits_v, _token: logits.append(logits_v)
    return logits


def batch_of(
    parts: ModelParts,
    options: Options,
    layouts: Sequence[PromptLayout],
    images: Sequence[Sequence[Image.Image]],
    features: Sequence[Sequence[VisionFeatures]],
) -> Work:
    """Prompts to be answered together, with the pictures and features of each."""
    tickets = [Ticket(*ticket) for ticket in zip(layouts, images, features, strict=True)]
    return Work(parts, options, tickets, PrefixState.empty(parts, reused=False))
