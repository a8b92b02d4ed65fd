"""What is asked, and when: procedural pictures, questions that zoom or do not, random arrivals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from qzoom.images.data_url import data_url
from qzoom.synth.world import scene_of


@dataclass(frozen=True)
class Traffic:
    """A mix of requests.

    pictures: different ones; requests pick among them, so that some come back.
    fire_rate: share of the requests that zoom; None leaves it to the gate and sends nothing about
        it, as any other endpoint needs.
    new_tokens: of every answer, if `exact`, else at most.
    """

    model: str
    pictures: int = 16
    fire_rate: float | None = None
    new_tokens: int = 32
    exact: bool = False
    seed: int = 0

    def requests(self) -> Iterator[dict[str, Any]]:
        """Bodies of requests, without end, the same for the same seed."""
        rng = Random(f"traffic/{self.seed}")
        scenes = [scene_of(number, name="load") for number in range(self.pictures)]
        urls = [data_url(scene.image, "png") for scene in scenes]
        while True:
            place = rng.randrange(self.pictures)
            question = rng.choice(scenes[place].questions).text
            yield self._body(urls[place], question, rng.random())

    def _body(self, url: str, question: str, draw: float) -> dict[str, Any]:
        picture = {"type": "image_url", "image_url": {"url": url}}
        content = [picture, {"type": "text", "text": question}]
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": self.new_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self.exact:
            body["ignore_eos"] = True
        if self.fire_rate is not None:
            zooms = draw < self.fire_rate
            body["qzoom"] = {"gate_threshold": 0.0} if zooms else {"direct": True}
        return body


def arrivals_s(rate_per_s: float, count: int, seed: int) -> list[float]:
    """Seconds after the start at which requests arrive: a Poisson process."""
    rng, now, times = Random(f"arrivals/{seed}"), 0.0, list[float]()
    for _ in range(count):
        now += rng.expovariate(rate_per_s)
        times.append(now)
    return times
