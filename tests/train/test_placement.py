"""Prompts that share rows: each is what it is alone, in values and in gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.parity.prompts import random_prompt
from tests.tiny import FAMILIES, Family
from tests.tiny_chat import chat_checkpoint

from qzoom.backbones.base import VisionFeatures
from qzoom.train.tap_pass import TapStates, gate_logits, region_map_logits
from qzoom.zoom.model import ZoomModel
from qzoom.zoom.parts import ModelParts
from qzoom.zoom.placement import APART, Place, fitted, one_per_row, rows_in, segments
from qzoom.zoom.prompt import PromptLayout, lay_out
from qzoom.zoom.uncached import UncachedRun

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=40)
GRIDS = [[(7, 9)], [(1, 3)], [(3, 2), (2, 5)], [(5, 1)], [(2, 2)], [(2, 3)]]


@given(LENGTHS)
def test_places_do_not_overlap_and_no_row_is_longer_than_the_longest(lengths: list[int]) -> None:
    places = fitted(lengths)
    assert [place.length for place in places] == lengths
    taken = segments(places)
    assert taken.shape[1] == max(lengths)
    assert [int((taken == prompt).sum()) for prompt in range(len(lengths))] == lengths
    assert all(place.start in (0, *(other.end for other in places)) for place in places)


@given(LENGTHS)
def test_at_most_one_row_is_half_empty(lengths: list[int]) -> None:
    used = (segments(fitted(lengths)) != APART).sum(1)
    assert int((used * 2 <= max(lengths)).sum()) <= 1


def test_equal_lengths_stay_side_by_side() -> None:
    assert fitted([5, 5, 5]) == one_per_row([5, 5, 5])
    assert fitted([2, 6, 3]) == [Place(1, 3, 2), Place(0, 0, 6), Place(1, 0, 3)]
    assert rows_in(fitted([2, 6, 3])) == [[1], [2, 0]]


@pytest.mark.parametrize("attn", ["eager", "sdpa"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_prompt_among_others_is_the_prompt_alone(family: Family, attn: str) -> None:
    parts = ZoomModel(chat_checkpoint(family, attn=attn)).parts
    layouts, features = _prompts(parts, family)
    together = UncachedRun.of(parts, layouts, features)
    assert len(together.rows.hidden_bnh) < len(layouts)
    layers = len(parts.backbone.layers)
    hidden = together.trunk(layers)
    for p, (layout, found) in enumerate(zip(layouts, features, strict=True)):
        alone = UncachedRun.of(parts, [layout], [found]).trunk(layers)[0]
        torch.testing.assert_close(together.states_of(p, hidden), alone, rtol=1e-4, atol=1e-4)
    last = [layout.length - 1 for layout in layouts]
    picked = together.states_at(torch.arange(len(layouts)), torch.tensor(last), hidden)
    ends = [together.states_of(p, hidden)[-1] for p in range(len(layouts))]
    torch.testing.assert_close(picked, torch.stack(ends), rtol=0, atol=0)


@pytest.mark.parametrize("attn", ["eager", "sdpa"])
@pytest.mark.parametrize("family", FAMILIES)
def test_branches_learn_the_same_packed_and_padded(family: Family, attn: str) -> None:
    """Losses over maps and gate logits, and the gradients of every parameter."""
    parts = ZoomModel(chat_checkpoint(family, attn=attn)).parts
    assert parts.add_on is not None
    layouts, features = _prompts(parts, family)
    asking = [[layout.length - 3, layout.length - 1] for layout in layouts]
    found = []
    for places in (None, one_per_row([layout.length for layout in layouts])):
        with torch.no_grad():
            run = UncachedRun.of(parts, layouts, features, places)
            tap = TapStates(run, run.trunk(parts.split).detach())
        maps = [m for row in region_map_logits(tap, asking) for m in row if len(m)]
        gates = gate_logits(tap, [rows[-1] for rows in asking])
        loss = sum((m.square().mean() for m in maps), gates.square().mean())
        parts.add_on.zero_grad()
        loss.backward()
        gradients = {n: p.grad for n, p in parts.add_on.named_parameters() if p.grad is not None}
        found.append((loss.detach(), gradients))
    (packed, packed_gradients), (padded, padded_gradients) = found
    torch.testing.assert_close(packed, padded, rtol=1e-5, atol=1e-6)
    assert packed_gradients.keys() == padded_gradients.keys()
    for name, gradient in packed_gradients.items():
        torch.testing.assert_close(gradient, padded_gradients[name], rtol=1e-3, atol=1e-5, msg=name)


def _prompts(
    parts: ModelParts, family: Family
) -> tuple[list[PromptLayout], list[list[VisionFeatures]]]:
    prompts = [random_prompt(family, grids, words=4 + i, seed=i) for i, grids in enumerate(GRIDS)]
    layouts = [lay_out(prompt.ids, prompt.grids_hw, parts.ids) for prompt in prompts]
    features = [parts.backbone.encode(prompt.pixels, prompt.grid_thw) for prompt in prompts]
    return layouts, features
