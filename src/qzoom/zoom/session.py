"""A conversation about opened images: the prefix is computed once, each question appends."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, Unpack, overload

import torch
from PIL import Image

from qzoom.backbones.base import VisionFeatures
from qzoom.errors import QZoomError
from qzoom.zoom.answer import AnswerStream, ZoomAnswer
from qzoom.zoom.chat import question_ids
from qzoom.zoom.options import AskOptions, Options
from qzoom.zoom.prefix import PrefixState
from qzoom.zoom.prompt import PromptLayout, lay_out
from qzoom.zoom.report import answer_of
from qzoom.zoom.requests import Run, start
from qzoom.zoom.text import TextTracker
from qzoom.zoom.tickets import Ticket, Work
from qzoom.zoom.timings import Timings

if TYPE_CHECKING:
    from qzoom.zoom.model import ZoomModel


class ImageSession:
    """Images opened by `ZoomModel.open`. Holds all state of its questions; the model holds none.

    One question runs at a time: threads that share a session take turns. A stream takes one turn
    per piece, and ends with an error once a newer question was asked before it was read to its end.

    model: what answers; images: decoded, in order; system: text of a system turn, if any.
    """

    def __init__(
        self,
        model: ZoomModel,
        images: Sequence[Image.Image],
        system: str | None,
        features: Sequence[VisionFeatures] | None = None,
    ) -> None:
        """Open decoded images.

        Args:
            features: the images, encoded by the caller; None encodes them at the first question.
        """
        self.model = model
        self.images = list(images)
        self.system = system
        self._features = features
        self._grids_hw = (
            [model.grid_of(image) for image in self.images]
            if features is None
            else [image.grid_hw for image in features]
        )
        self._lock = threading.Lock()
        self._prefix_ids = torch.empty(0, dtype=torch.long)
        self._state: PrefixState | None = None
        self._turn = 0

    @overload
    def ask(
        self, question: str, *, stream: Literal[False] = False, **options: Unpack[AskOptions]
    ) -> ZoomAnswer: ...

    @overload
    def ask(
        self, question: str, *, stream: Literal[True], **options: Unpack[AskOptions]
    ) -> AnswerStream: ...

    def ask(
        self, question: str, *, stream: bool = False, **options: Unpack[AskOptions]
    ) -> ZoomAnswer | AnswerStream:
        """Answer one question about the images.

        Args:
            question: plain text; special tokens in it are text.
            stream: return an `AnswerStream` of text pieces instead of the answer.
            options: see `AskOptions`.

        Raises:
            QZoomError: at once for a bad question or option; from a stream, when a newer question
                ended it.
        """
        request = self.model.options(**options)
        layout = self._lay_out(question)
        if stream:
            return AnswerStream(self._in_turns(self._answer(layout, request)))
        with self._lock:
            *_, answer = self._answer(layout, request)
        assert isinstance(answer, ZoomAnswer)
        return answer

    def _lay_out(self, question: str) -> PromptLayout:
        ids = self.model.parts.ids
        tokenizer = self.model.require_tokenizer()
        input_ids = question_ids(tokenizer, question, self._grids_hw, ids.image, self.system)
        return lay_out(input_ids, self._grids_hw, ids)

    def _in_turns(self, items: Iterator[str | ZoomAnswer]) -> Iterator[str | ZoomAnswer]:
        while True:
            with self._lock:
                item = next(items, None)
            if item is None:
                return
            yield item

    def _answer(self, layout: PromptLayout, request: Options) -> Iterator[str | ZoomAnswer]:
        """Pieces of text, then the answer; whoever takes the next one holds the lock."""
        self._turn += 1
        turn = self._turn
        text = TextTracker(self.model.require_tokenizer(), request.stop)
        run = self._start(layout, request, text)
        for piece in run.pieces():
            if piece:
                yield piece
                if turn != self._turn:
                    raise QZoomError("a newer question was asked on this session; this one ended")
        if rest := text.finish():
            yield rest
        yield answer_of(run.answered[0], run.timings)

    def _start(self, layout: PromptLayout, request: Options, text: TextTracker) -> Run:
        timings = Timings()
        state = self._state_for(layout)
        # Until the question has got through, what is stored may be half of it.
        self._state = None
        with timings.part("encode"):
            features = self._encoded() if state.tap is None else []
        work = Work(self.model.parts, request, [Ticket(layout, self.images, features)], state)
        run = start(work, timings, [text])
        self._state = state
        return run

    def _encoded(self) -> Sequence[VisionFeatures]:
        return self.model.encode(self.images) if self._features is None else self._features

    def _state_for(self, layout: PromptLayout) -> PrefixState:
        """What earlier questions computed, as far as this one begins with the same rows."""
        prefix = layout.input_ids[: layout.prefix_length]
        if self._state is None or not torch.equal(prefix, self._prefix_ids):
            self._prefix_ids = prefix
            return PrefixState.empty(self.model.parts, len(prefix), reused=True)
        return self._state
