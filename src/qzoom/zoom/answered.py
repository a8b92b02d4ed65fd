"""One prompt with its answer so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from qzoom.zoom.options import Options
from qzoom.zoom.text import TextTracker
from qzoom.zoom.tickets import Ticket

FinishReason = Literal["stop", "length"]


@dataclass(eq=False)
class Answered:
    """A prompt on its way to the end of its answer.

    text: follows the tokens where text is wanted.
    observe: called with each step's logits, of shape `(vocabulary,)`, and the token chosen.
    finish_reason: "stop" after an end token or a stop string, "length" at the limit of tokens.
    """

    ticket: Ticket
    options: Options
    text: TextTracker | None = None
    observe: Callable[[Tensor, int], None] | None = None
    token_ids: list[int] = field(default_factory=list)
    finish_reason: FinishReason | None = None

    @property
    def most_slots(self) -> int:
        """Slots of keys and values that the prompt takes with the longest answer it may get."""
        return self.ticket.answered.length + self.options.sampling.max_new_tokens

    def take(self, token: int) -> str:
        """Add a token; returns the text that is now certain."""
        self.token_ids.append(token)
        ended = token in self.options.eos_token_ids
        piece = "" if self.text is None or ended else self.text.push(token)
        if ended or (self.text is not None and self.text.stopped):
            self.finish_reason = "stop"
        elif len(self.token_ids) >= self.options.sampling.max_new_tokens:
            self.finish_reason = "length"
        return piece
