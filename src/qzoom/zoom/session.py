"""A conversation about opened images: the prefix is computed once, each question appends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import torch
from PIL import Image

from qzoom.backbones.base import VisionFeatures
from qzoom.errors import QZoomError
from qzoom.zoom.answer import AnswerStream, ZoomAnswer
from qzoom.zoom.chat import question_ids
from qzoom.zoom.prefix import PrefixState
from qzoom.zoom.prompt import lay_out
from qzoom.zoom.report import answer_of
from qzoom.zoom.requests import Run, start
from qzoom.zoom.text import TextTracker

if TYPE_CHECKING:
    from qzoom.zoom.model import ZoomModel


class ImageSession:
    """Images opened by `ZoomModel.open`. Holds all state of its questions; the model holds none.

    One question runs at a time: threads that share a session take turns, and starting a new
    question ends a stream that was not read to its end.
    """

    def __init__(self, model: ZoomModel, images: Sequence[Image.Image], system: str | None) -> None:
        self.model = model
        self.images = list(images)
        self.system = system
        self._lock = threading.Lock()
        self._features: list[VisionFeatures] | None = None
        self._encode_s = 0.0
        self._prefix_ids: torch.Tensor | None = None
        self._state: PrefixState | None = None
        self._turn = 0

    @overload
    def ask(self, question: str, *, stream: Literal[False] = False, **options: Any) -> ZoomAnswer: ...

    @overload
    def ask(self, question: str, *, stream: Literal[True], **options: Any) -> AnswerStream: ...

    def ask(
        self, question: str, *, stream: bool = False, **options: Any
    ) -> ZoomAnswer | AnswerStream:
        """Answer one question about the images.

        Args:
            question: plain text; special tokens in it are text.
            stream: return an `AnswerStream` of text pieces instead of the answer.
            options: `max_new_tokens`, `temperature`, `top_p`, `top_k`, `repetition_penalty`,
                `seed`, `stop` (strings), `zoom` ("auto", "never", "always"), `gate_threshold`,
                `roi_threshold`.

        Raises:
            QZoomError: for a bad question or option.
        """
        answers = AnswerStream(self._answer(question, options))
        if stream:
            return answers
        for _ in answers:
            pass
        assert answers.answer is not None
        return answers.answer

    def _answer(self, question: str, options: dict[str, Any]) -> Iterator[str | ZoomAnswer]:
        request = self.model.options(**options)
        began = time.perf_counter()
        with self._lock:
            self._turn += 1
            turn = self._turn
            run = self._start(question, request)
            tracker = TextTracker(self.model.require_tokenizer(), request.stop)
            steps = run.steps(run.lanes[0])
        while True:
            with self._lock:
                if turn != self._turn:
                    raise QZoomError("a newer question was asked on this session; this one ended")
                tokens = next(steps, None)
            if tokens is None:
                break
            if tokens[0] is not None and (piece := tracker.push(tokens[0])):
                yield piece
            if tracker.stopped:
                break
        if rest := tracker.finish():
            yield rest
        run.timings_s["encode"] = self._encode_s
        run.timings_s["total"] = time.perf_counter() - began
        yield answer_of(run, 0, tracker.text)

    def _start(self, question: str, request: Any) -> Run:
        model = self.model
        if self._features is None:
            began = time.perf_counter()
            self._features = model.encode(self.images)
            self._encode_s = time.perf_counter() - began
        grids = [image.grid_hw for image in self._features]
        ids = question_ids(
            model.require_tokenizer(), question, grids, model.parts.ids.image, self.system
        )
        layout = lay_out(ids, grids, model.parts.ids)
        prefix = ids[: layout.prefix_length]
        if self._state is None or not torch.equal(prefix, self._prefix_ids):
            self._state, self._prefix_ids = PrefixState.empty(model.parts, len(prefix)), prefix
        return start(
            model.parts, self._state, [layout], [self.images], [self._features], request
        )

