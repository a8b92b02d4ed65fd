"""Choosing tokens: greedy, random with a seed, and out-of-range settings."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import RepetitionPenaltyLogitsProcessor

from qzoom.errors import ConfigError
from qzoom.zoom.choosing import Drawer, choose_tokens
from qzoom.zoom.sampling import Sampling

CPU = torch.device("cpu")
PROMPTS = [torch.tensor([1, 2, 3]), torch.tensor([4]), torch.tensor([0, 0, 5, 6, 7])]


def logits(batch: int = 3, vocabulary: int = 40, seed: int = 0) -> torch.Tensor:
    return 3 * torch.randn(batch, vocabulary, generator=torch.Generator().manual_seed(seed))


def drawers(sampling: Sampling, prompts: list[torch.Tensor] = PROMPTS) -> list[Drawer]:
    return [Drawer(sampling, prompt, CPU) for prompt in prompts]


def draw(sampling: Sampling, steps: int = 200, **shape: int) -> torch.Tensor:
    """Tokens of shape `(steps, B)` drawn from the same logits over and over."""
    scores = logits(**shape)
    drawing = drawers(sampling, PROMPTS[: len(scores)])
    return torch.stack([choose_tokens(scores, drawing) for _ in range(steps)])


def test_zero_temperature_takes_the_best() -> None:
    best = logits().argmax(-1)
    assert torch.equal(choose_tokens(logits(), drawers(Sampling())), best)
    assert (draw(Sampling(temperature=1e-30, seed=1), steps=5) == best).all()
    assert (draw(Sampling(temperature=9.0, top_k=1, seed=1), steps=5) == best).all()
    assert (draw(Sampling(temperature=1, top_p=1e-9, seed=1), steps=5) == best).all()


def test_a_seed_repeats_and_another_does_not() -> None:
    warm = Sampling(temperature=1.0, seed=5)
    assert torch.equal(draw(warm), draw(warm))
    assert not torch.equal(draw(warm), draw(Sampling(temperature=1.0, seed=6)))
    assert not torch.equal(draw(Sampling(temperature=1.0)), draw(Sampling(temperature=1.0)))


def test_each_prompt_has_its_own_random_numbers() -> None:
    warm = Sampling(temperature=2.0, seed=5)
    together = draw(warm)
    scores = logits()
    for row, prompt in enumerate(PROMPTS):
        drawing = drawers(warm, [prompt])
        alone = torch.cat([choose_tokens(scores[row : row + 1], drawing) for _ in range(200)])
        assert torch.equal(together[:, row], alone)


def test_draws_follow_the_probabilities() -> None:
    scores = torch.tensor([[0.0, math.log(2), math.log(5), -math.inf]])
    drawing = drawers(Sampling(temperature=1.0, seed=0), PROMPTS[:1])
    drawn = torch.cat([choose_tokens(scores, drawing) for _ in range(4000)])
    counts = drawn.bincount(minlength=4)
    torch.testing.assert_close(counts / 4000, torch.tensor([1, 2, 5, 0]) / 8, rtol=0, atol=0.03)


def test_settings_of_each_prompt_hold_in_a_mixed_batch() -> None:
    mixed = [
        Sampling(),
        Sampling(temperature=2.0, seed=5, top_k=4),
        Sampling(repetition_penalty=1.5),
    ]
    pairs = list(zip(mixed, PROMPTS, strict=True))
    together, alone = ([Drawer(*pair, CPU) for pair in pairs] for _ in range(2))
    for step in range(30):
        scores = logits(vocabulary=12, seed=step)
        singly = [choose_tokens(scores[row : row + 1], alone[row : row + 1]) for row in range(3)]
        assert torch.equal(choose_tokens(scores, together), torch.cat(singly))


def test_top_k_and_top_p_leave_the_likely_ones() -> None:
    best = logits().topk(3).indices
    for row, tokens in enumerate(draw(Sampling(temperature=3.0, top_k=3, seed=1)).T):
        assert set(tokens.tolist()) == set(best[row].tolist())
    for row, tokens in enumerate(draw(Sampling(temperature=1.0, top_p=0.6, seed=1)).T):
        ordered = logits()[row].softmax(-1).sort(descending=True)
        needed = int((ordered.values.cumsum(0) < 0.6).sum()) + 1
        assert set(tokens.tolist()) <= set(ordered.indices[:needed].tolist())


@given(st.floats(0.5, 2.0), st.integers(0, 50))
def test_the_penalty_is_that_of_transformers(penalty: float, seed: int) -> None:
    drawing = drawers(Sampling(repetition_penalty=penalty))
    processor = RepetitionPenaltyLogitsProcessor(penalty)
    history = [prompt.tolist() for prompt in PROMPTS]
    for step in range(5):
        scores = logits(vocabulary=12, seed=seed + step)
        chosen = choose_tokens(scores, drawing).tolist()
        for row, before in enumerate(history):
            seen: Any = torch.tensor([before])
            expected = processor(seen, scores[row : row + 1].clone())
            assert chosen[row] == int(expected.argmax())
            before.append(chosen[row])


@pytest.mark.parametrize(
    "setting",
    [
        {"max_new_tokens": 0},
        {"max_new_tokens": 2.5},
        {"max_new_tokens": True},
        {"max_new_tokens": "8"},
        {"temperature": -0.1},
        {"temperature": math.nan},
        {"temperature": math.inf},
        {"temperature": "hot"},
        {"top_p": 0.0},
        {"top_p": 1.01},
        {"top_p": math.nan},
        {"top_k": -1},
        {"top_k": 1.5},
        {"repetition_penalty": 0.0},
        {"repetition_penalty": math.inf},
        {"seed": -1},
        {"seed": 2**64},
        {"seed": 1.0},
    ],
)
def test_settings_out_of_range_are_refused_by_name(setting: dict[str, Any]) -> None:
    (name,) = setting
    with pytest.raises(ConfigError, match=f"^{name} is .*; it must be "):
        Sampling(**setting)


def test_whole_numbers_are_numbers() -> None:
    sampling = Sampling(temperature=1, top_p=1, repetition_penalty=2, top_k=5, seed=2**64 - 1)
    assert draw(sampling, steps=2).shape == (2, 3)
