"""One request inside the engine, and what it reports to whoever waits for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image

from qzoom.images.pipeline import PixelBatch
from qzoom.serve.engine.logprobs import LogprobRecorder, TokenLogprob
from qzoom.serve.errors import ServeError
from qzoom.zoom.answer import ZoomAnswer
from qzoom.zoom.answered import Answered
from qzoom.zoom.options import Options
from qzoom.zoom.prompt import PromptLayout
from qzoom.zoom.text import TextTracker
from qzoom.zoom.tickets import Ticket
from qzoom.zoom.timings import Timings


@dataclass(frozen=True)
class Prepared:
    """A request ready for the model, made outside the engine's thread.

    session_key: names the prefix, so that a later question about the same images finds it; None
        keeps nothing.
    pixels: patches of the images, or None where the engine is expected to know them.
    """

    layout: PromptLayout
    images: Sequence[Image.Image]
    pixels: PixelBatch | None
    options: Options
    session_key: str | None
    top_logprobs: int | None = None

    @property
    def image_bytes(self) -> int:
        """Memory of the decoded images."""
        return sum(3 * image.width * image.height for image in self.images)


@dataclass(frozen=True)
class Begun:
    """The first token is near: what gate and region network decided."""

    ticket: Ticket
    reused: bool


@dataclass(frozen=True)
class Piece:
    """Text that is now certain, and the tokens since the last piece where they are wanted."""

    text: str
    logprobs: list[TokenLogprob]


@dataclass(frozen=True)
class Ended:
    """The whole answer."""

    answer: ZoomAnswer


@dataclass(frozen=True)
class Failed:
    """No answer, or no more of it."""

    error: ServeError


Event = Begun | Piece | Ended | Failed


@dataclass(eq=False)
class Job:
    """A request on its way through the engine.

    expires_at: on the monotonic clock.
    answered, writing_since: set once the prompt is through its prefill.
    """

    prepared: Prepared
    text: TextTracker
    expires_at: float
    loop: asyncio.AbstractEventLoop
    events: asyncio.Queue[Event] = field(default_factory=asyncio.Queue)
    timings: Timings = field(default_factory=Timings)
    answered: Answered | None = None
    writing_since: float = 0.0
    recorder: LogprobRecorder | None = None
    cancelled: bool = False
    over: bool = False

    @property
    def expired(self) -> bool:
        """Whether its time is up."""
        return time.monotonic() >= self.expires_at

    def tell(self, event: Event) -> None:
        """Hand an event to the loop that waits; nothing after the last one."""
        if self.over:
            return
        self.over = isinstance(event, (Ended, Failed))
        try:
            self.loop.call_soon_threadsafe(self.events.put_nowait, event)
        except RuntimeError:
            # The loop is closed: nobody waits any more.
            self.cancelled = True
