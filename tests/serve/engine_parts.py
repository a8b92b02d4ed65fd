"""Jobs for the engine without a server around it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image
from tests.tiny_chat import ANY_REGION

from qzoom.serve.engine.engine import Engine
from qzoom.serve.engine.jobs import Begun, Ended, Event, Failed, Job, Piece, Prepared
from qzoom.serve.errors import ServeError
from qzoom.serve.limits import Limits
from qzoom.zoom.answer import ZoomAnswer
from qzoom.zoom.chat import question_ids
from qzoom.zoom.model import ZoomModel
from qzoom.zoom.prompt import lay_out
from qzoom.zoom.text import TextTracker

PATIENCE_S = 60.0


class Inbox:
    """Stands for an event loop: what is called soon is called at once."""

    def call_soon_threadsafe(self, call: Any, *args: Any) -> None:
        call(*args)


def prepared(
    model: ZoomModel, image: Image.Image, question: str, key: str | None, **options: Any
) -> Prepared:
    grid = model.grid_of(image)
    ids = question_ids(model.require_tokenizer(), question, [grid], model.parts.ids.image)
    layout = lay_out(ids, [grid], model.parts.ids)
    given: Any = {"eos_token_id": []} | ANY_REGION | options
    return Prepared(layout, [image], None, model.options(**given), key)


def job_of(ready: Prepared, model: ZoomModel, *, seconds: float = PATIENCE_S) -> Job:
    inbox: Any = Inbox()
    text = TextTracker(model.require_tokenizer(), ready.options.stop)
    return Job(ready, text, time.monotonic() + seconds, inbox)


@contextmanager
def running(model: ZoomModel, **limits: Any) -> Iterator[Watch]:
    """An engine that answers, and is stopped in the end."""
    watch = Watch(model, Limits(**limits))
    watch.engine.start()
    try:
        yield watch
    finally:
        watch.engine.drain(0.0)
        assert watch.engine.join(PATIENCE_S)


class Watch:
    """An engine and the jobs that are over."""

    def __init__(self, model: ZoomModel, limits: Limits) -> None:
        self.model = model
        self._over: dict[int, ServeError | None] = {}
        self._changed = threading.Condition()
        self.engine = Engine(model, limits, self._note)

    def submit(self, ready: Prepared, *, seconds: float = PATIENCE_S) -> Job:
        job = job_of(ready, self.model, seconds=seconds)
        self.engine.submit(job)
        return job

    def wait(self, *jobs: Job) -> None:
        """Until all of them are over."""
        with self._changed:
            wanted = {id(job) for job in jobs}
            assert self._changed.wait_for(lambda: wanted <= self._over.keys(), PATIENCE_S)

    def wait_until(self, holds: Any) -> None:
        """Until something holds that the engine's thread brings about."""
        end = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < end
            time.sleep(0.002)

    def _note(self, job: Job, error: ServeError | None) -> None:
        with self._changed:
            self._over[id(job)] = error
            self._changed.notify_all()


def events_of(job: Job) -> list[Event]:
    """What a job has told so far."""
    found = []
    while not job.events.empty():
        found.append(job.events.get_nowait())
    return found


def answer_in(job: Job) -> tuple[ZoomAnswer, bool]:
    """The answer of a job, checked against its pieces; and whether its image was known."""
    *before, last = events_of(job)
    assert isinstance(last, Ended), last
    begun = before[0]
    assert isinstance(begun, Begun)
    assert "".join(e.text for e in before if isinstance(e, Piece)) == last.answer.text
    return last.answer, begun.reused


def failure_in(job: Job) -> ServeError:
    last = events_of(job)[-1]
    assert isinstance(last, Failed)
    return last.error
