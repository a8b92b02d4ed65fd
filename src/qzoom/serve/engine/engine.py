"""The engine: one thread that owns the model, and takes requests between its steps.

Each turn of its loop runs prefills for a moment and then one token of every answer being written.
A prefill is taken in steps, so a request that looks closer never holds up the others for longer
than one of its steps; where steps are short, several requests come to write together.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

import torch

from qzoom.serve.engine.allocator import hand_back
from qzoom.serve.engine.jobs import Ended, Failed, Job, Piece
from qzoom.serve.engine.prefilling import Prefilling
from qzoom.serve.engine.sessions import SessionCache
from qzoom.serve.errors import ServeError, busy, internal, too_late
from qzoom.serve.limits import Limits
from qzoom.zoom.answered import Answered
from qzoom.zoom.decode import Decoder
from qzoom.zoom.model import ZoomModel
from qzoom.zoom.report import answer_of

_LOG = logging.getLogger("qzoom.serve")
_NAP_S = 0.25
_NAPS_OF_A_REST = 4


class Engine:
    """Answers jobs until it is stopped. Everything but its loop may be called from any thread.

    on_over: called in the engine's thread with every job that ended, and how: None for an answer.
    died: whether it stopped without being told to.
    """

    def __init__(
        self,
        model: ZoomModel,
        limits: Limits,
        on_over: Callable[[Job, ServeError | None], None] = lambda job, error: None,
    ) -> None:
        self.model = model
        self.limits = limits
        self.sessions = SessionCache(limits.cache_bytes)
        self.died = False
        self._on_over = on_over
        self._waiting: deque[Job] = deque()
        self._awake = threading.Condition()
        self._drains_until: float | None = None
        self._prefilling: Prefilling | None = None
        self._decoder = Decoder(model.parts)
        self._writing: dict[int, Job] = {}
        self._thread = threading.Thread(target=self._run, name="qzoom-engine", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Put a job in the queue.

        Raises:
            ServeError: 503 when the queue is full or the server is stopping.
        """
        with self._awake:
            if self.draining:
                raise busy("the server is stopping; ask another one")
            if len(self._waiting) >= self.limits.max_queue:
                raise busy()
            pending = sum(other.prepared.image_bytes for other in self._all())
            # One alone is always let in: its own limits have been checked.
            if pending and pending + job.prepared.image_bytes > self.limits.max_pending_bytes:
                raise busy("too many large images are under way; try again")
            self._waiting.append(job)
            self._awake.notify()

    def cancel(self, job: Job) -> None:
        """Nobody waits for a job any more; its rows are freed before the next step."""
        job.cancelled = True
        with self._awake:
            self._awake.notify()

    def drain(self, grace_s: float) -> None:
        """Take nothing new; what is not answered after the grace fails."""
        with self._awake:
            until = time.monotonic() + grace_s
            self._drains_until = min(until, self._drains_until or until)
            self._awake.notify()

    def join(self, timeout_s: float) -> bool:
        """Wait for a draining engine; whether it has stopped."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def draining(self) -> bool:
        """Whether it was told to stop."""
        return self._drains_until is not None

    @property
    def alive(self) -> bool:
        """Whether it answers."""
        return self._thread.is_alive()

    @property
    def queued(self) -> int:
        """Jobs that wait."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Jobs in prefill or being written."""
        with self._awake:
            return len(self._writing) + (self._prefilling is not None)

    def _run(self) -> None:
        try:
            self._loop()
        except BaseException:
            # Nobody is left waiting, and health says that it is dead.
            _LOG.exception("the engine died; restart the server")
            self.died = True
            self.drain(0.0)
            self._stopped()

    def _loop(self) -> None:
        while True:
            self._rest()
            if self.draining and self._stopped():
                return
            self._drop_dead()
            self._prefill_turn()
            self._decode_step()

    def _rest(self) -> None:
        """Wait for work; after a while without any, hand back what the last took, once."""
        naps = 0
        with self._awake:
            while not (self._waiting or self._prefilling or self._writing or self.draining):
                self._awake.wait(_NAP_S)
                naps += 1
                if naps == _NAPS_OF_A_REST:
                    hand_back()

    def _stopped(self) -> bool:
        """Whether nothing is left, or the grace is over and everything left has failed."""
        assert self._drains_until is not None
        if time.monotonic() >= self._drains_until:
            error = ServeError(503, "the server stopped before the answer was done", "server_error")
            for job in self._all():
                self._over(job, error)
            with self._awake:
                self._waiting.clear()
            return True
        return not (self._waiting or self._prefilling or self._writing)

    def _all(self) -> list[Job]:
        with self._awake:
            current = self._prefilling
            running = [] if current is None else [current.job]
            return [*self._waiting, *running, *list(self._writing.values())]

    def _drop_dead(self) -> None:
        """Let go of jobs that nobody waits for or whose time is up."""
        dead = [job for job in self._all() if job.cancelled or job.expired]
        if not dead:
            return
        with self._awake:
            self._waiting = deque(job for job in self._waiting if job not in dead)
        if self._prefilling is not None and self._prefilling.job in dead:
            self._prefilling = None
        written = [job.answered for job in dead if job.answered is not None]
        self._decoder.dismiss(written)
        for job in dead:
            self._over(job, None if job.cancelled else too_late(self.limits.deadline_s))

    def _prefill_turn(self) -> None:
        until = time.monotonic() + self.limits.turn_s
        while self._prefill_step() and time.monotonic() < until:
            continue

    def _prefill_step(self) -> bool:
        """Whether there was anything to do."""
        if self._prefilling is None:
            self._begin_next()
        current = self._prefilling
        if current is None:
            return False
        try:
            if not current.ready:
                current.step()
            return self._join(current) if current.ready else True
        except Exception:
            self._prefilling = None
            if current.job.answered is not None:
                self._decoder.dismiss([current.job.answered])
            self._failed([current.job], "a prefill failed")
            return True

    def _begin_next(self) -> None:
        with self._awake:
            if not self._waiting or len(self._writing) >= self.limits.max_batch:
                return
            job = self._waiting.popleft()
        try:
            self._prefilling = Prefilling(self.model, self.sessions, job)
        except Exception:
            self._failed([job], "could not begin a request")

    def _join(self, current: Prefilling) -> bool:
        """Take a row in if there is room for it, where the longest sets the size of all."""
        rows = [*self._writing.values(), current.job]
        longest = max(job.answered.most_slots for job in rows if job.answered is not None)
        if len(rows) > 1 and len(rows) * longest > self.limits.max_slots:
            return False
        current.join(self._decoder)
        with self._awake:
            self._prefilling = None
            self._writing[id(current.job.answered)] = current.job
        current.job.tell(current.begun)
        return True

    def _decode_step(self) -> None:
        if not self._writing:
            return
        try:
            for answered, text in self._decoder.take(self._give):
                self._report(answered, text)
            if self._decoder.members:
                self._decoder.advance()
        except Exception:
            # Which row it was cannot be known; the next requests start on a fresh decoder.
            jobs = list(self._writing.values())
            self._decoder = Decoder(self.model.parts)
            self._failed(jobs, "a decoding step failed")

    def _give(self, answered: Answered, token: int) -> str:
        """Hand a row its token; text that cannot be made ends this row alone."""
        try:
            text = answered.take(token)
            if answered.finish_reason is not None and answered.text is not None:
                text += answered.text.finish()
            return text
        except Exception:
            answered.finish_reason = "stop"
            self._failed([self._writing[id(answered)]], "an answer could not be turned into text")
            return ""

    def _report(self, answered: Answered, text: str) -> None:
        job = self._writing.get(id(answered))
        if job is None:
            return
        ended = answered.finish_reason is not None
        found = job.recorder.take() if job.recorder is not None and (text or ended) else []
        if text or found:
            job.tell(Piece(text, found))
        if ended:
            job.timings.add("decode", time.perf_counter() - job.writing_since)
            job.tell(Ended(answer_of(answered, job.timings)))
            self._over(job, None)

    def _failed(self, jobs: list[Job], what: str) -> None:
        """Log what happened, tell the jobs no more than that it did."""
        _LOG.exception("%s; %d request(s) failed", what, len(jobs))
        for job in jobs:
            self._over(job, internal())
        # Some errors of a device stay: every step would fail, so the engine dies of this one.
        torch.zeros((), device=self.model.parts.backbone.device).item()

    def _over(self, job: Job, error: ServeError | None) -> None:
        if job.answered is not None:
            self._writing.pop(id(job.answered), None)
        if error is not None:
            job.tell(Failed(error))
        self._on_over(job, error)
