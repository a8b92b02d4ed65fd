"""Choosing the next tokens of a batch, each prompt under its own settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import TopKLogitsWarper, TopPLogitsWarper

from qzoom.zoom.sampling import Sampling

# Below this, dividing by the temperature could leave the range of float32.
_LEAST_TEMPERATURE = 1e-6


class Drawer:
    """What one prompt draws with: its settings, its random numbers and the tokens seen so far."""

    def __init__(self, sampling: Sampling, prompt_ids: Tensor, device: torch.device) -> None:
        """Start on a prompt given as ids of shape `(n,)`."""
        self.sampling = sampling
        self.prompt_ids = prompt_ids
        self.generator = _generator(sampling.seed, device) if sampling.temperature > 0 else None
        self.seen_v: Tensor | None = None


def choose_tokens(logits_bv: Tensor, drawers: Sequence[Drawer]) -> Tensor:
    """Next tokens of shape `(B,)` from float32 logits of shape `(B, vocabulary)`.

    Prompts with equal settings are handled at once; each draws from its own random numbers.
    """
    groups: dict[tuple[float, ...], list[int]] = {}
    for place, drawer in enumerate(drawers):
        groups.setdefault(drawer.sampling.distribution, []).append(place)
    if len(groups) == 1:
        return _choose(logits_bv, drawers)
    chosen_b = torch.empty(len(drawers), dtype=torch.long, device=logits_bv.device)
    for places in groups.values():
        index = torch.tensor(places, device=logits_bv.device)
        chosen_b[index] = _choose(logits_bv[index], [drawers[place] for place in places])
    return chosen_b


def _choose(logits_bv: Tensor, drawers: Sequence[Drawer]) -> Tensor:
    sampling = drawers[0].sampling
    penalised = sampling.repetition_penalty != 1.0
    if penalised:
        logits_bv = _discouraged(logits_bv, drawers)
    chosen_b = logits_bv.argmax(-1) if sampling.temperature == 0 else _draw(logits_bv, drawers)
    if penalised:
        for drawer, chosen in zip(drawers, chosen_b[:, None], strict=True):
            assert drawer.seen_v is not None
            drawer.seen_v.scatter_(0, chosen, True)
    return chosen_b


def _discouraged(logits_bv: Tensor, drawers: Sequence[Drawer]) -> Tensor:
    seen = [_seen(drawer, row) for drawer, row in zip(drawers, logits_bv, strict=True)]
    penalty = drawers[0].sampling.repetition_penalty
    lower_bv = torch.where(logits_bv > 0, logits_bv / penalty, logits_bv * penalty)
    return torch.where(torch.stack(seen), lower_bv, logits_bv)


def _seen(drawer: Drawer, logits_v: Tensor) -> Tensor:
    """Which tokens prompt and answer hold so far, of shape `(vocabulary,)`."""
    if drawer.seen_v is None:
        drawer.seen_v = torch.zeros_like(logits_v, dtype=torch.bool)
        drawer.seen_v[drawer.prompt_ids.to(logits_v.device)] = True
    return drawer.seen_v


def _draw(logits_bv: Tensor, drawers: Sequence[Drawer]) -> Tensor:
    sampling = drawers[0].sampling
    from_best_bv = logits_bv - logits_bv.amax(-1, keepdim=True)
    scores_bv = from_best_bv / max(sampling.temperature, _LEAST_TEMPERATURE)
    for warper in _warpers(sampling):
        # These warpers look at the scores alone.
        scores_bv = warper(None, scores_bv)
    noise_bv = torch.empty_like(scores_bv)
    for noise_v, drawer in zip(noise_bv, drawers, strict=True):
        noise_v.exponential_(generator=drawer.generator)
    # The largest of p / Exp(1) is a draw from p.
    return (scores_bv.softmax(-1) / noise_bv).argmax(-1)


def _warpers(sampling: Sampling) -> list[Any]:
    warpers: list[Any] = []
    if sampling.top_k:
        warpers.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        warpers.append(TopPLogitsWarper(float(sampling.top_p)))
    return warpers


def _generator(seed: int | None, device: torch.device) -> torch.Generator:
    generator = torch.Generator(device)
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator
