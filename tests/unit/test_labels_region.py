"""Region labels of a tiny model: responses, maps, sinks, and what ends up in a row."""

from __future__ import annotations

import pytest
import torch
from tests.tiny import FAMILIES, Family
from tests.tiny_chat import chat_model, picture

from qzoom.errors import ConfigError
from qzoom.labels.attention import HeadSet
from qzoom.labels.presets import HEAD_PRESETS, HeadPreset, head_preset
from qzoom.labels.region import RegionLabeller, RegionSample
from qzoom.labels.region_settings import RegionLabelSettings, preset_from_json, settings_from_json
from qzoom.labels.store import LabelRow
from qzoom.labels.tristate import TriStateRule, picture_cells, tristate_labels

HEADS = HeadPreset(
    textual=HeadSet({2: (0, 1), 5: (3,)}),
    natural=HeadSet({3: (2,)}),
    textual_sinks=HeadSet({1: (0,)}),
)
EASY = TriStateRule(min_peak=0.0, max_box_share=2.0)


def samples(kind: str = "textual") -> list[RegionSample]:
    sizes = [(260, 200), (200, 320), (240, 240)]
    return [
        RegionSample(f"s{i}", f"{i}.png", picture(*size, seed=i), "what is that?", kind)  # type: ignore[arg-type]
        for i, size in enumerate(sizes)
    ]


def label(family: Family, batch: list[RegionSample], **settings: object) -> list[LabelRow]:
    fields = {"cells": 64, "max_new_tokens": 6, "rule": EASY} | settings
    return RegionLabeller(chat_model(family, eos=None), HEADS, RegionLabelSettings(**fields))(batch)  # type: ignore[arg-type]


@pytest.mark.parametrize("family", FAMILIES)
def test_square_maps_are_labelled_by_the_rule(family: Family) -> None:
    for row, sample in zip(label(family, samples()), samples(), strict=True):
        attention, sink = row.tensors["attention"], row.tensors["sink"]
        assert attention.shape == sink.shape == (8, 8)
        shown = picture_cells(sample.image.size, 8)
        expected = tristate_labels(attention, sink, EASY, shown)
        assert torch.equal(row.tensors["labels"].long(), expected.labels_hw)
        assert row.fields["box_cells_xyxy"] == list(expected.box_cells_xyxy)
        assert row.fields["teaches"] is True
        assert row.fields["image_size_px"] == list(sample.image.size)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_gives_what_each_sample_gives_alone(family: Family) -> None:
    together = label(family, samples(), layout="native")
    for row, sample in zip(together, samples(), strict=True):
        (alone,) = label(family, [sample], layout="native")
        assert alone.fields == row.fields
        for name, tensor in alone.tensors.items():
            torch.testing.assert_close(row.tensors[name], tensor, atol=1e-5, rtol=1e-4)


def test_attention_is_of_the_tokens_fed_back() -> None:
    model = chat_model("qwen3_vl", eos=None)
    settings = RegionLabelSettings(cells=64, max_new_tokens=6, rule=EASY)
    (found,) = RegionLabeller(model, HEADS, settings).respond(samples()[:1])
    # Six tokens came; the last was never fed back.
    assert found.asking == [found.layout.length - 6 + i for i in range(5)]


def test_native_maps_keep_the_shape_of_the_picture() -> None:
    rows = label("qwen3_vl", samples(), layout="native")
    grids = [row.fields["grid_hw"] for row in rows]
    assert grids[0][1] > grids[0][0]
    assert grids[1][0] > grids[1][1]


def test_natural_questions_ask_for_boxes_and_have_no_sink_heads_here() -> None:
    (row,) = label("qwen3_vl", samples("natural")[:1])
    assert "sink" not in row.tensors
    assert row.fields["question"] == "what is that?"


def test_sinks_by_norm() -> None:
    (row,) = label("qwen3_vl", samples()[:1], sinks="norm", norm_layer=2, norm_threshold=0.0)
    assert bool((row.tensors["sink"] == 1).all())
    assert not bool((row.tensors["labels"] == 1).any())
    (row,) = label("qwen3_vl", samples()[:1], sinks="norm", norm_layer=2, norm_threshold=1e9)
    assert not bool(row.tensors["sink"].any())


def test_a_response_of_one_token_teaches_nothing() -> None:
    model = chat_model("qwen3_vl", eos=None)
    settings = RegionLabelSettings(cells=64, max_new_tokens=6)
    labeller = RegionLabeller(model, HEADS, settings)
    first = int(labeller.respond(samples()[:1])[0].layout.input_ids[-6])
    ends_at_once = chat_model("qwen3_vl", eos=first)
    (row,) = RegionLabeller(ends_at_once, HEADS, settings)(samples()[:1])
    assert row.fields["teaches"] is False
    assert not row.tensors


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cells": 50}, "square number"),
        ({"layout": "round"}, "layout is 'round'"),
        ({"sinks": "taps"}, "sinks is 'taps'"),
        ({"max_new_tokens": 1}, "at least 2"),
    ],
)
def test_settings_out_of_range(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RegionLabelSettings(**settings)  # type: ignore[arg-type]


def test_presets() -> None:
    for name, preset in HEAD_PRESETS.items():
        assert head_preset(name) is preset
        preset.textual.check(36, 32)
        preset.natural.check(36, 32)
    with pytest.raises(ConfigError, match="qzoom label heads"):
        head_preset("llava")


def test_heads_go_through_json() -> None:
    stored = RegionLabelSettings().to_json(HEADS)["heads"]
    assert preset_from_json(stored, "heads.json") == HEADS
    settings = RegionLabelSettings(cells=64, rule=EASY)
    assert settings_from_json(settings.to_json(HEADS)) == settings
    with pytest.raises(ConfigError, match=r"heads\.json must hold"):
        preset_from_json({"textual": {}}, "heads.json")
    with pytest.raises(ConfigError, match=r"layer: \[heads\]"):
        preset_from_json({"textual": {"a": 1}, "natural": {}}, "heads.json")
