"""Branches: transformers' own layers, and no dead weights in the last region layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.tiny import FAMILIES, random_trunk, randomize

from qzoom.errors import ConfigError
from qzoom.zoom.branches import GateBranch, RegionBranch, ZoomAddOn
from qzoom.zoom.config import ZoomConfig

ZOOM = ZoomConfig(enabled=True, split_layer=4, branch_depth=3, gate_enabled=True)


@pytest.fixture(params=FAMILIES)
def language_model(request: pytest.FixtureRequest) -> Any:
    return random_trunk(request.param, seed=1).model.language_model


def test_gate_is_full_layers_and_a_biased_head(language_model: Any) -> None:
    gate = GateBranch(language_model.config, 3)
    assert [layer.self_attn.layer_idx for layer in gate.layers] == [0, 1, 2]
    assert [type(layer) for layer in gate.layers] == [type(language_model.layers[0])] * 3
    assert gate.head.weight.shape == (1, 64)
    assert gate.head.bias.shape == (1,)
    trunk_names = {name for name, _ in language_model.layers[0].named_parameters()}
    assert {name for name, _ in gate.layers[0].named_parameters()} == trunk_names


def test_region_keeps_only_queries_and_keys_of_its_last_layer(language_model: Any) -> None:
    region = RegionBranch(language_model.config, 3)
    assert len(region.layers) == 2
    members = {name.split(".")[0] for name, _ in region.final.named_parameters()}
    norms = {"q_norm", "k_norm"} if "qwen3" in language_model.config.model_type else set()
    assert members == {"input_layernorm", "q_proj", "k_proj"} | norms


def test_final_layer_projects_like_the_decoder_layer_it_was_taken_from(language_model: Any) -> None:
    region = RegionBranch(language_model.config, 1)
    layer = language_model.layers[0]
    attention = layer.self_attn
    final_state = {"input_layernorm.weight": layer.input_layernorm.weight} | {
        name: value
        for name, value in attention.state_dict().items()
        if name.startswith(("q_", "k_"))
    }
    region.final.load_state_dict(final_state)
    hidden = torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(0))
    seen: dict[str, torch.Tensor] = {}
    for part in ("q", "k"):
        source = getattr(attention, f"{part}_norm", getattr(attention, f"{part}_proj"))
        source.register_forward_hook(lambda *call, part=part: seen.update({part: call[2]}))
    positions = torch.arange(5).expand(3, 2, 5)
    layer(hidden, position_embeddings=language_model.rotary_emb(hidden, positions))
    queries = seen["q"].view(2, 5, 4, 16).transpose(1, 2)
    keys = seen["k"].view(2, 5, 2, 16).transpose(1, 2)
    torch.testing.assert_close(region.final.queries(hidden), queries, rtol=0, atol=0)
    torch.testing.assert_close(region.final.keys(hidden), keys, rtol=0, atol=0)
    assert region.final.scaling == 16**-0.5


def test_layers_share_the_trunks_attention_implementation(language_model: Any) -> None:
    add_on = ZoomAddOn(language_model.config, ZOOM)
    assert add_on.gate is not None
    assert add_on.gate.layers[0].self_attn.config is language_model.config
    assert add_on.region.layers[0].self_attn.config._attn_implementation == "eager"


def test_layers_run_with_a_cache(language_model: Any) -> None:
    from transformers import DynamicCache

    region = RegionBranch(language_model.config, 3)
    randomize(region, seed=2)
    hidden = torch.randn(1, 6, 64, generator=torch.Generator().manual_seed(0))
    rotary = language_model.rotary_emb(hidden, torch.arange(6).expand(3, 1, 6))
    cache, rows = DynamicCache(), hidden
    with torch.inference_mode():
        for layer in region.layers:
            rows = layer(rows, position_embeddings=rotary, past_key_values=cache)
    assert rows.shape == hidden.shape
    assert cache.get_seq_length(1) == 6


def test_builds_on_the_meta_device(language_model: Any) -> None:
    with torch.device("meta"):
        add_on = ZoomAddOn(language_model.config, ZOOM)
    assert all(parameter.is_meta for parameter in add_on.parameters())
    assert not list(add_on.buffers())


def test_without_a_gate(language_model: Any) -> None:
    add_on = ZoomAddOn(language_model.config, ZOOM.with_overrides(gate_enabled=False))
    assert add_on.gate is None
    assert not [name for name in add_on.state_dict() if name.startswith("gate")]


def test_impossible_branches_are_refused(language_model: Any) -> None:
    with pytest.raises(ConfigError, match="plain backbone"):
        ZoomAddOn(language_model.config, ZoomConfig(enabled=False))
    with pytest.raises(ConfigError, match=r"split_layer \(twig_K\) is 8; the trunk has 8 layers"):
        ZoomAddOn(language_model.config, ZOOM.with_overrides(split_layer=8))
    with pytest.raises(ConfigError, match="branch_depth must be at least 1"):
        RegionBranch(language_model.config, 0)
