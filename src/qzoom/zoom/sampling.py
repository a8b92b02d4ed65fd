"""Choosing the next token."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import TopKLogitsWarper, TopPLogitsWarper

from qzoom.errors import ConfigError

# Below this, dividing by the temperature could leave the range of float32.
_LEAST_TEMPERATURE = 1e-6


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

    def _check_number(self, name: str, value: object, what: str) -> None:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        _check(is_number and math.isfinite(value) and value >= 0, name, value, what)  # type: ignore[arg-type, operator]


class Chooser:
    """Picks a token per prompt and step; holds each prompt's random numbers and seen tokens."""

    def __init__(self, sampling: Sampling, prompts: Sequence[Tensor], device: torch.device) -> None:
        """Start on prompts given as ids of shape `(n,)`."""
        self.sampling = sampling
        self._prompts = prompts
        self._seen_bv: Tensor | None = None
        drawing = prompts if sampling.temperature > 0 else ()
        self._generators = [_generator(sampling.seed, device) for _ in drawing]
        self._warpers: list[Any] = []
        if sampling.top_k:
            self._warpers.append(TopKLogitsWarper(sampling.top_k))
        if sampling.top_p < 1:
            self._warpers.append(TopPLogitsWarper(float(sampling.top_p)))

    def __call__(self, logits_bv: Tensor) -> Tensor:
        """Next tokens of shape `(B,)` from float32 logits of shape `(B, vocabulary)`."""
        if self.sampling.repetition_penalty != 1.0:
            logits_bv = self._discouraged(logits_bv)
        greedy = self.sampling.temperature == 0
        chosen = logits_bv.argmax(-1) if greedy else self._draw(logits_bv)
        if self._seen_bv is not None:
            self._seen_bv.scatter_(1, chosen[:, None], True)
        return chosen

    def _discouraged(self, logits_bv: Tensor) -> Tensor:
        if self._seen_bv is None:
            self._seen_bv = torch.zeros_like(logits_bv, dtype=torch.bool)
            for seen_v, ids in zip(self._seen_bv, self._prompts, strict=True):
                seen_v[ids.to(logits_bv.device)] = True
        penalty = self.sampling.repetition_penalty
        lower_bv = torch.where(logits_bv > 0, logits_bv / penalty, logits_bv * penalty)
        return torch.where(self._seen_bv, lower_bv, logits_bv)

    def _draw(self, logits_bv: Tensor) -> Tensor:
        from_best_bv = logits_bv - logits_bv.amax(-1, keepdim=True)
        scores_bv = from_best_bv / max(self.sampling.temperature, _LEAST_TEMPERATURE)
        for warper in self._warpers:
            # These warpers look at the scores alone.
            scores_bv = warper(None, scores_bv)
        noise_bv = torch.empty_like(scores_bv)
        for noise_v, generator in zip(noise_bv, self._generators, strict=True):
            noise_v.exponential_(generator=generator)
        # The largest of p / Exp(1) is a draw from p.
        return (scores_bv.softmax(-1) / noise_bv).argmax(-1)


def _generator(seed: int | None, device: torch.device) -> torch.Generator:
    generator = torch.Generator(device)
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _check(holds: bool, name: str, value: object, what: str) -> None:
    if not holds:
        raise ConfigError(f"{name} is {value!r}; it must be {what}")
