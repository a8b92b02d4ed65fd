"""ZoomConfig: published fields in, published fields out, nothing unsupported let through."""

from __future__ import annotations

import math
from typing import Any

import pytest
from tests.tiny import FAMILIES, reference_config

from qzoom.errors import ConfigError
from qzoom.zoom.config import ZoomConfig


@pytest.mark.parametrize(
    ("family", "sink_rule"), [("qwen2_5_vl", "corner"), ("qwen3_vl", "token0")]
)
def test_reads_published_fields(family: Any, sink_rule: str) -> None:
    config = ZoomConfig.from_hf_config(reference_config(family), family)
    assert config == ZoomConfig(
        enabled=True,
        split_layer=4,
        branch_depth=3,
        gate_enabled=True,
        gate_threshold=0.05,
        roi_threshold=0.1,
        align_roi_positions=True,
        sink_rule=sink_rule,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_plain_backbone_is_disabled(family: Any) -> None:
    fields = reference_config(family, gate=False, region=False)
    config = ZoomConfig.from_hf_config(fields, family)
    assert not config.enabled
    assert config.branch_depth == 0
    assert ZoomConfig.from_hf_config(config.to_hf_fields(), family) == config


def test_absent_fields_take_the_published_defaults() -> None:
    fields = {"enable_twig": True, "twig_K": 18, "twig_T": 3}
    config = ZoomConfig.from_hf_config(fields, "qwen2_5_vl")
    assert not config.gate_enabled
    assert not config.align_roi_positions
    assert (config.gate_threshold, config.roi_threshold) == (0.1, 0.1)


def test_top_level_wins_over_text_config_and_mm_config_is_ignored() -> None:
    fields = {
        "enable_twig": True,
        "twig_K": 5,
        "text_config": {"twig_K": 9, "twig_T": 2, "mm_config": {"high_res_thresh": 0.9}},
        "mm_config": {"roi_conf_thresh": 0.9},
    }
    config = ZoomConfig.from_hf_config(fields, "qwen3_vl")
    assert (config.split_layer, config.branch_depth) == (5, 2)
    assert (config.gate_threshold, config.roi_threshold) == (0.1, 0.1)


def test_fields_found_only_in_text_config_count() -> None:
    text = {"enable_twig": True, "twig_K": 24, "twig_T": 3, "reuse_src_pos": True}
    config = ZoomConfig.from_hf_config({"text_config": text, "twig_K": None}, "qwen3_vl")
    assert config.enabled
    assert config.split_layer == 24
    assert config.align_roi_positions


@pytest.mark.parametrize(
    ("field", "value"),
    [("roi_loss", "mse"), ("roi_source", "hidden_states"), ("roi_super_type", "lazy")],
)
def test_unsupported_variants_are_named(field: str, value: str) -> None:
    fields = reference_config("qwen3_vl", **{field: value})
    with pytest.raises(ConfigError, match=f"{field}='{value}' is unsupported"):
        ZoomConfig.from_hf_config(fields, "qwen3_vl")


@pytest.mark.parametrize(("field", "value"), [("high_res_K", 3), ("high_res_T", 2)])
def test_a_gate_at_another_depth_is_refused(field: str, value: int) -> None:
    fields = reference_config("qwen2_5_vl", **{field: value})
    with pytest.raises(ConfigError, match=f"{field}={value} differs from twig_"):
        ZoomConfig.from_hf_config(fields, "qwen2_5_vl")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"enable_twig": True, "twig_T": 3}, "no twig_K"),
        ({"enable_twig": True, "twig_K": 0, "twig_T": 3}, "split_layer must be at least 1"),
        ({"enable_twig": True, "twig_K": "4", "twig_T": 3}, "split_layer must be a whole number"),
        ({"enable_twig": "yes"}, "enable_twig must be a boolean"),
        ({"enable_twig": True, "twig_K": 4, "twig_T": 3, "high_res_thresh": "low"}, "finite"),
        ({"enable_twig": True, "twig_K": 4, "twig_T": 3, "qzoom": {"blur": 1}}, "'blur'"),
        ({"enable_twig": True, "twig_K": 4, "twig_T": 3, "qzoom": 1}, "must be an object"),
    ],
)
def test_bad_fields_are_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ZoomConfig.from_hf_config(fields, "qwen3_vl")


def test_unknown_family_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown family 'llava'"):
        ZoomConfig.from_hf_config({}, "llava")


@pytest.mark.parametrize("family", FAMILIES)
def test_hf_fields_round_trip_every_setting(family: Any) -> None:
    config = ZoomConfig.from_hf_config(reference_config(family), family).with_overrides(
        gate_threshold=0.3,
        roi_threshold=0.04,
        align_roi_positions=False,
        sink_rule="none",
        blur_sigma=2.0,
        min_crop_side_px=56,
    )
    fields = config.to_hf_fields()
    assert ZoomConfig.from_hf_config(fields, family) == config
    assert fields["roi_enable2stage"] is True
    assert (fields["high_res_K"], fields["twig_K"]) == (4, 4)


def test_overrides_replace_given_values_only() -> None:
    config = ZoomConfig(enabled=True, split_layer=4, branch_depth=3)
    assert config.with_overrides(gate_threshold=None) == config
    changed = config.with_overrides(gate_threshold=-1, roi_threshold=0)
    assert (changed.gate_threshold, changed.roi_threshold) == (-1.0, 0.0)
    assert config.gate_threshold == 0.1


@pytest.mark.parametrize("value", [math.nan, math.inf, "0.1", True])
def test_thresholds_must_be_finite_numbers(value: object) -> None:
    config = ZoomConfig(enabled=True, split_layer=4, branch_depth=3)
    with pytest.raises(ConfigError, match="roi_threshold must be a finite number"):
        config.with_overrides(roi_threshold=value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"gate_treshold": 0.1}, "unknown zoom setting 'gate_treshold'"),
        ({"sink_rule": "edge"}, "sink_rule must be one of"),
        ({"mode": "fast"}, "mode must be one of 'reference', 'native'"),
        ({"roi_threshold_of": "mean"}, "roi_threshold_of must be one of 'map', 'peak'"),
        ({"blur_sigma": 0}, "blur_sigma must be above 0"),
        ({"min_crop_side_px": -1}, "min_crop_side_px must be a whole number"),
        ({"enabled": False, "gate_enabled": True}, "gate_enabled needs enabled"),
    ],
)
def test_overrides_are_validated(overrides: dict[str, Any], message: str) -> None:
    config = ZoomConfig(enabled=True, split_layer=4, branch_depth=3)
    with pytest.raises(ConfigError, match=message):
        config.with_overrides(**overrides)
