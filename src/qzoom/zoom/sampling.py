"""Choosing the next token."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

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
        seed: makes sampling repeatable.

    Raises:
        ConfigError: when a value is out of range.
    """

    max_new_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        _check(self.max_new_tokens >= 1, "max_new_tokens", self.max_new_tokens, "at least 1")
        finite = math.isfinite(self.temperature) and self.temperature >= 0
        _check(finite, "temperature", self.temperature, "a finite number of at least 0")
        _check(0 < self.top_p <= 1, "top_p", self.top_p, "above 0 and at most 1")
        _check(self.top_k >= 0, "top_k", self.top_k, "at least 0")
        penalty = math.isfinite(self.repetition_penalty) and self.repetition_penalty > 0
        _check(penalty, "repetition_penalty", self.repetition_penalty, "a finite number above 0")


class Chooser:
    """Picks one token per batch row and step; holds the generator of one answer."""

    def __init__(self, sampling: Sampling, device: torch.device) -> None:
        self.sampling = sampling
        self.processors = LogitsProcessorList()
        if sampling.repetition_penalty != 1.0:
            self.processors.append(RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
        if sampling.temperature > 0:
            self.processors.append(TemperatureLogitsWarper(sampling.temperature))
            if sampling.top_k:
                self.processors.append(TopKLogitsWarper(sampling.top_k))
            if sampling.top_p < 1:
                self.processors.append(TopPLogitsWarper(sampling.top_p))
        self.generator = torch.Generator(device)
        if sampling.seed is not None:
            self.generator.manual_seed(sampling.seed)
        elif sampling.temperature > 0:
            self.generator.seed()

    @property
    def needs_history(self) -> bool:
        """Whether earlier tokens change the choice."""
        return self.sampling.repetition_penalty != 1.0

    def __call__(self, history_bn: Tensor, logits_bv: Tensor) -> Tensor:
        """Next tokens of shape `(B,)` from float32 logits of shape `(B, vocabulary)`."""
        scores = self.processors(history_bn, logits_bv) if self.processors else logits_bv
        if self.sampling.temperature == 0:
            return scores.argmax(-1)
        return torch.multinomial(scores.softmax(-1), 1, generator=self.generator)[:, 0]


def _check(holds: bool, name: str, value: object, what: str) -> None:
    if not holds:
        raise ConfigError(f"{name} is {value}; it must be {what}")
