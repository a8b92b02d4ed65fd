"""How the tokens of an answer are chosen."""

from __future__ import annotations

import math
from dataclasses import dataclass

from qzoom.errors import ConfigError


@dataclass(frozen=True)
class Sampling:
    """How an answer is generated.

    Args:
        max_new_tokens: upper limit of generated tokens.
        temperature: 0 is greedy.
        top_p, top_k: keep the smallest set of tokens with this mass, or this many; 1.0 and 0 keep
            all.
        repetition_penalty: above 1 discourages tokens already in prompt or answer.
        seed: makes sampling repeatable. Each prompt of a batch draws from its own numbers, so a
            prompt gets the same answer alone and in any batch.

    Raises:
        ConfigError: when a value has the wrong type or is out of range.
    """

    max_new_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        new, top_k, seed = self.max_new_tokens, self.top_k, self.seed
        _check(_is_count(new) and new >= 1, "max_new_tokens", new, "a whole number of at least 1")
        _check(_is_count(top_k), "top_k", top_k, "a whole number of at least 0")
        fits = seed is None or (_is_count(seed) and seed < 2**64)
        _check(fits, "seed", seed, "a whole number from 0 to 2**64 - 1")
        self._check_number("temperature", self.temperature, "a finite number of at least 0")
        self._check_number("top_p", self.top_p, "above 0 and at most 1")
        _check(0 < self.top_p <= 1, "top_p", self.top_p, "above 0 and at most 1")
        self._check_number("repetition_penalty", self.repetition_penalty, "a number above 0")
        positive = self.repetition_penalty > 0
        _check(positive, "repetition_penalty", self.repetition_penalty, "a number above 0")

    @property
    def distribution(self) -> tuple[float, ...]:
        """What says which tokens are how likely; equal for prompts that can be handled at once."""
        return self.temperature, self.top_p, self.top_k, self.repetition_penalty

    def _check_number(self, name: str, value: object, what: str) -> None:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        _check(is_number and math.isfinite(value) and value >= 0, name, value, what)  # type: ignore[arg-type, operator]


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _check(holds: bool, name: str, value: object, what: str) -> None:
    if not holds:
        raise ConfigError(f"{name} is {value!r}; it must be {what}")
