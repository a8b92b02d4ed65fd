"""Finding heads: a planted grounding head and a planted sink head come out on top."""

from __future__ import annotations

import pytest
import torch
from tests.tiny_chat import chat_model, picture

from qzoom.errors import ConfigError
from qzoom.labels.attention import HeadSet
from qzoom.labels.heads import BoxedSample, HeadScores, _measure, score_heads
from qzoom.labels.presets import HeadPreset
from qzoom.labels.region import RegionLabeller, RegionSample
from qzoom.labels.region_settings import RegionLabelSettings

NO_HEADS = HeadPreset(textual=HeadSet({}), natural=HeadSet({}))


def scores(**given: list[list[float]]) -> HeadScores:
    fields = {name: torch.tensor(values) for name, values in given.items()}
    zero = torch.zeros(2, 2)
    return HeadScores(
        fields.get("inside", zero), fields.get("hit", zero), zero, fields.get("strays", zero), 10
    )


def test_a_head_is_measured_on_the_answers_cells() -> None:
    attention = torch.tensor([[0.1, 0.4, 0.1, 0.2], [0.6, 0.0, 0.0, 0.2]]).double()
    inside = torch.tensor([False, True, False, True])
    share, hit, on_cells, strays = _measure(attention, inside)
    torch.testing.assert_close(share, torch.tensor([0.75, 0.25]).double())
    assert hit.tolist() == [1.0, 0.0]
    torch.testing.assert_close(on_cells, torch.tensor([0.8, 0.8]).double())
    torch.testing.assert_close(strays, torch.tensor([0.0, 0.6]).double())


def test_the_best_heads_by_layer() -> None:
    found = scores(inside=[[0.9, 0.2], [0.3, 0.8]], hit=[[0.1, 0.9], [0.5, 0.6]])
    # Head (0, 0) puts most inside, but its strongest cell is seldom the answer's.
    assert found.grounding_heads(2).heads_by_layer == {1: (0, 1)}
    assert found.grounding_heads(1, least_hit=0.0).heads_by_layer == {0: (0,)}
    with pytest.raises(ConfigError, match="best: 90%"):
        found.grounding_heads(1, least_hit=0.95)


def test_the_heads_that_stare_at_single_cells() -> None:
    found = scores(strays=[[0.1, 0.7], [0.2, 0.6]], hit=[[0.0, 0.5], [0.0, 0.0]])
    assert found.sink_heads(1).heads_by_layer == {1: (1,)}
    assert found.sink_heads(2).heads_by_layer == {0: (1,), 1: (1,)}


def test_every_head_of_a_model_is_measured() -> None:
    settings = RegionLabelSettings(layout="native", cells=36, max_new_tokens=4)
    labeller = RegionLabeller(chat_model("qwen3_vl", eos=None), NO_HEADS, settings)
    samples = []
    for seed in range(2):
        asked = RegionSample(str(seed), "p.png", picture(seed=seed), "what is that?", "textual")
        (found,) = labeller.respond([asked])
        inside = torch.arange(found.layout.source_cells) < 5
        samples.append(
            BoxedSample(found.layout, tuple(found.features), tuple(found.asking), inside)
        )
    measured = score_heads(labeller.model.parts, samples)
    assert measured.samples == 2
    assert measured.inside.shape == (8, 4)
    assert bool(((measured.inside > 0) & (measured.inside < 1)).all())
    assert bool((measured.on_cells <= 1).all())
    halves = [score_heads(labeller.model.parts, [sample]) for sample in samples]
    torch.testing.assert_close(measured.inside, (halves[0].inside + halves[1].inside) / 2)


def test_no_sample_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no sample has a box"):
        score_heads(chat_model("qwen3_vl").parts, [])
