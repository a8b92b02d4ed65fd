"""One job's way from pixels to its first logits, in steps that others can run between."""

from __future__ import annotations

import time

import torch

from qzoom.backbones.base import VisionFeatures
from qzoom.serve.engine.jobs import Begun, Job
from qzoom.serve.engine.logprobs import LogprobRecorder
from qzoom.serve.engine.sessions import SessionCache
from qzoom.steps import Steps
from qzoom.zoom.answered import Answered
from qzoom.zoom.decode import Decoder
from qzoom.zoom.model import ZoomModel
from qzoom.zoom.prefill import prefill_steps
from qzoom.zoom.prefix import PrefixState
from qzoom.zoom.tickets import Lane, Ticket, Work


class Prefilling:
    """A job under way. What it takes out of the cache goes back once the job has joined.

    ready: whether the job can join.
    """

    def __init__(self, model: ZoomModel, cache: SessionCache, job: Job) -> None:
        self.job = job
        self._model = model
        self._cache = cache
        self._key = job.prepared.session_key
        found = cache.take(self._key)
        self._reused = found is not None
        self._state = found or self._fresh()
        self._steps = self._run()
        self._lanes: list[Lane] = []
        self.ready = False

    @property
    def begun(self) -> Begun:
        """What to tell once the job has joined."""
        assert self.job.answered is not None
        return Begun(self.job.answered.ticket, self._reused)

    def step(self) -> None:
        """Run one step."""
        with torch.inference_mode():
            try:
                next(self._steps)
            except StopIteration as end:
                self._lanes = end.value
                self.ready = True

    def join(self, decoder: Decoder) -> None:
        """Hand the prompt to the decoder, and its prefix to the cache."""
        assert self.job.answered is not None
        for lane in self._lanes:
            decoder.join(lane, [self.job.answered])
        if self._key is not None:
            self._cache.put(self._key, self._state)

    def _fresh(self) -> PrefixState:
        kept = self._key is not None
        length = self.job.prepared.layout.prefix_length if kept else 0
        return PrefixState.empty(self._model.parts, length, reused=kept)

    def _run(self) -> Steps[list[Lane]]:
        prepared, parts, timings = self.job.prepared, self._model.parts, self.job.timings
        features = list[VisionFeatures]()
        if self._state.tap is None and prepared.images:
            features = yield from timings.over("encode", self._encode())
            yield
        self._state.rewind()
        ticket = Ticket(prepared.layout, prepared.images, features)
        work = Work(parts, prepared.options, [ticket], self._state)
        lanes = yield from prefill_steps(work, timings)
        self._begin(ticket)
        return lanes

    def _encode(self) -> Steps[list[VisionFeatures]]:
        prepared = self.job.prepared
        pixels = prepared.pixels or self._model.pipeline(prepared.images)
        backbone = self._model.parts.backbone
        return (yield from backbone.encode_steps(pixels.pixel_values, pixels.image_grid_thw))

    def _begin(self, ticket: Ticket) -> None:
        job, top = self.job, self.job.prepared.top_logprobs
        job.recorder = None if top is None else LogprobRecorder(top)
        job.answered = Answered(ticket, job.prepared.options, job.text, job.recorder)
        job.writing_since = time.perf_counter()
