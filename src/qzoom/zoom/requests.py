"""Running prompts to their answers: the one place where prefill and decoding meet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import Tensor

from qzoom.backbones.base import VisionFeatures
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
class Answered:
    """One prompt with its tokens so far.

    text: follows the tokens where text is wanted.
    done: whether it ended, by an end token or a stop string.
    """

    ticket: Ticket
    text: TextTracker | None = None
    token_ids: list[int] = field(default_factory=list)
    logits: list[Tensor] = field(default_factory=list)
    done: bool = False

    def take(self, token: int, end_tokens: frozenset[int]) -> str:
        """Add a token; returns the text that is now certain."""
        self.token_ids.append(token)
        self.done = token in end_tokens
        if self.text is None or self.done:
            return ""
        piece = self.text.push(token)
        self.done = self.text.stopped
        return piece


@dataclass
class Run:
    """One batch of prompts: prefilled at once, decoded lane by lane."""

    parts: ModelParts
    options: Options
    answered: list[Answered]
    lanes: list[Lane]
    timings: Timings
    keep_logits: bool = False

    def finish(self) -> None:
        """Decode everything; a lane's keys and values are let go before the next lane's turn."""
        while self.lanes:
            for _ in self.pieces(self.lanes.pop()):
                pass

    def pieces(self, lane: Lane) -> Iterator[list[str]]:
        """Decode one lane; yields each step's new text of each member."""
        members = [self.answered[member] for member in lane.members]
        sampling = self.options.sampling
        with self.timings.part("decode"):
            prompts = [member.ticket.answered for member in members]
            decoder = Decoder(self.parts, lane, prompts, sampling)
            pieces = self._take(decoder, members)
        for _ in range(sampling.max_new_tokens - 1):
            yield pieces
            if all(member.done for member in members):
                return
            with self.timings.part("decode"):
                decoder.advance()
                pieces = self._take(decoder, members)
        yield pieces

    def _take(self, decoder: Decoder, members: Sequence[Answered]) -> list[str]:
        pieces = [""] * len(members)
        for place, (member, token) in enumerate(zip(members, decoder.choose(), strict=True)):
            if member.done:
                continue
            if self.keep_logits:
                member.logits.append(decoder.logits_bv[place])
            pieces[place] = member.take(token, self.options.eos_token_ids)
        return pieces


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
        keep_logits: collect each step's logits on the prompts.
    """
    with torch.inference_mode():
        work.state.rewind()
        lanes = prefill(work, timings)
    trackers = [None] * len(work.tickets) if texts is None else texts
    answered = [Answered(*pair) for pair in zip(work.tickets, trackers, strict=True)]
    return Run(work.parts, work.options, answered, lanes, timings, keep_logits)


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
