"""What the server counts, for Prometheus."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from qzoom.serve.engine.engine import Engine
from qzoom.zoom.answer import ZoomAnswer

_SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Metrics:
    """Counters of one server; a registry of its own, so that two servers do not share any."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "qzoom_requests", "Requests by status", ["status"], registry=self._registry
        )
        self._zoomed = Counter(
            "qzoom_zoomed", "Answers with a closer look", registry=self._registry
        )
        self._reused = Counter(
            "qzoom_session_hits", "Questions on a known image", registry=self._registry
        )
        self._tokens = Counter("qzoom_tokens", "Tokens by kind", ["kind"], registry=self._registry)
        self._first = Histogram(
            "qzoom_first_token_seconds",
            "Arrival to first token",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._total = Histogram(
            "qzoom_request_seconds", "Arrival to end", buckets=_SECONDS, registry=self._registry
        )
        self._gauges = {
            name: Gauge(f"qzoom_{name}", text, registry=self._registry)
            for name, text in (
                ("queued", "Requests that wait"),
                ("running", "Requests in prefill or being written"),
                ("sessions", "Images that are known"),
                ("session_bytes", "Memory of the sessions"),
            )
        }

    def begun(self, arrived_at: float, *, reused: bool) -> None:
        """A request got its first token near; `arrived_at` on the monotonic clock."""
        self._first.observe(time.monotonic() - arrived_at)
        if reused:
            self._reused.inc()

    def answered(self, answer: ZoomAnswer, arrived_at: float) -> None:
        """A request was answered."""
        self._total.observe(time.monotonic() - arrived_at)
        self._zoomed.inc(answer.zoomed)
        for kind in ("prompt_tokens", "visual_tokens", "roi_tokens", "new_tokens"):
            self._tokens.labels(kind.removesuffix("_tokens")).inc(answer.usage[kind])

    def responded(self, status: int) -> None:
        """A response began, or a stream ended with an error."""
        self._requests.labels(str(status)).inc()

    def text(self, engine: Engine) -> bytes:
        """Everything in Prometheus' text format."""
        sessions = engine.sessions
        now = (engine.queued, engine.running, len(sessions), sessions.used_bytes)
        for gauge, value in zip(self._gauges.values(), now, strict=True):
            gauge.set(value)
        return generate_latest(self._registry)
