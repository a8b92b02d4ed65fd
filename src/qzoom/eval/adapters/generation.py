"""Generation arguments of an lmms-eval task as options of a question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from qzoom.errors import ConfigError
from qzoom.zoom.options import AskOptions

HARNESS_STOP: Final = "\n\n"
"""Stop string that lmms-eval sets where a task names none; its own Qwen models pass over it."""


def options_of(kwargs: Mapping[str, Any], defaults: AskOptions) -> AskOptions:
    """Options of a question: those of the task over those of the model.

    A temperature above 0 samples unless `do_sample` is false; everything else is greedy.

    Args:
        kwargs: max_new_tokens, until, temperature, top_p, top_k, do_sample, num_beams and
            repetition_penalty; the rest, such as an aspect ratio for other models, has no meaning.

    Raises:
        ConfigError: for beam search.
    """
    given = {name: value for name, value in kwargs.items() if value is not None}
    if (beams := given.get("num_beams", 1)) != 1:
        raise ConfigError(f"num_beams is {beams}; qzoom decodes one beam, set it to 1")
    options = AskOptions(**defaults)
    options["stop"] = _stops(given.get("until", ()))
    if "max_new_tokens" in given:
        options["max_new_tokens"] = given["max_new_tokens"]
    if "repetition_penalty" in given:
        options["repetition_penalty"] = given["repetition_penalty"]
    temperature = given.get("temperature", 1.0 if given.get("do_sample") else 0.0)
    # A top_p of 0 leaves the best token alone.
    if given.get("do_sample", True) and temperature > 0 and given.get("top_p") != 0:
        options["temperature"] = temperature
        options["top_p"] = given.get("top_p", 1.0)
        options["top_k"] = given.get("top_k", 0)
    return options


def without_images(context: str) -> str:
    """A prompt without "<image>"; the pictures come before it in any case."""
    return context.replace("<image>\n", "").replace("<image>", "")


def _stops(until: str | Iterable[str]) -> tuple[str, ...]:
    found = (until,) if isinstance(until, str) else tuple(until)
    return tuple(stop for stop in found if stop and stop != HARNESS_STOP)
