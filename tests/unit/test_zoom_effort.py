"""Levels of effort: checked, immutable, kept by checkpoints, and used when asking."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from tests.tiny_chat import ANY_REGION, chat_checkpoint, picture

import qzoom
from qzoom.checkpoints.adapter import copy_adapter, save_adapter
from qzoom.checkpoints.save import save_checkpoint
from qzoom.errors import CheckpointError, ConfigError
from qzoom.labels.operating_points import EFFORTS
from qzoom.zoom.config import ZoomConfig
from qzoom.zoom.effort import LEVELS, NEVER, EffortThresholds
from qzoom.zoom.options import read_options

THRESHOLDS = {"high": 0.0, "low": NEVER, "medium": 0.5}
CONFIG = ZoomConfig(
    enabled=True,
    split_layer=4,
    branch_depth=3,
    gate_enabled=True,
    gate_threshold=0.3,
    effort_thresholds=THRESHOLDS,
)


def test_thresholds_are_an_immutable_mapping() -> None:
    found = EffortThresholds(THRESHOLDS)
    assert list(found) == ["low", "medium", "high"] == list(LEVELS) == list(EFFORTS)
    assert found == THRESHOLDS
    assert hash(found) == hash(EffortThresholds(dict(reversed(THRESHOLDS.items()))))
    assert copy.deepcopy(found) == pickle.loads(pickle.dumps(found)) == found
    with pytest.raises(TypeError):
        found["low"] = 0.1  # type: ignore[index]
    given = dict(THRESHOLDS)
    config = dataclasses.replace(CONFIG, effort_thresholds=given)
    given["low"] = 0.1
    assert config == CONFIG
    assert hash(config) == hash(CONFIG)


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"lowest": 0.1}, "has a level 'lowest'; known: low, medium, high"),
        ({"low": 1.1}, "low must be from 0 to 1, got 1.1"),
        ({"low": -0.1}, "low must be from 0 to 1, got -0.1"),
        ({"low": float("nan")}, "low must be from 0 to 1, got nan"),
        ({"low": True}, "low must be from 0 to 1, got True"),
        ({"low": "0.1"}, "low must be from 0 to 1, got '0.1'"),
        ([0.1], "must be thresholds by level"),
    ],
)
def test_bad_thresholds_are_named(thresholds: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=f"effort_thresholds.* {message}"):
        dataclasses.replace(CONFIG, effort_thresholds=thresholds)


def test_levels_need_a_gate() -> None:
    with pytest.raises(ConfigError, match="effort_thresholds needs gate_enabled"):
        dataclasses.replace(CONFIG, gate_enabled=False)


def test_fields_of_config_json() -> None:
    fields = json.loads(json.dumps(CONFIG.to_hf_fields()))
    assert fields["qzoom"]["effort_thresholds"] == THRESHOLDS
    assert ZoomConfig.from_hf_config(fields, "qwen3_vl") == dataclasses.replace(
        CONFIG, sink_rule="none"
    )
    without = dataclasses.replace(CONFIG, effort_thresholds={})
    assert "effort_thresholds" not in without.to_hf_fields()["qzoom"]


def test_models_and_adapters_keep_their_levels(tmp_path: Path) -> None:
    whole = chat_checkpoint("qwen3_vl", effort_thresholds=THRESHOLDS)
    save_checkpoint(tmp_path / "model", whole)
    assert qzoom.load(tmp_path / "model").config.effort_thresholds == THRESHOLDS
    save_adapter(tmp_path / "adapter", chat_checkpoint("qwen3_vl"))
    target = copy_adapter(tmp_path / "adapter", tmp_path / "copy", whole.config)
    assert qzoom.load(tmp_path / "model", adapter=target).config == whole.config
    weights = [tmp_path / name / "adapter.safetensors" for name in ("adapter", "copy")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    plain = qzoom.load(tmp_path / "model", adapter=tmp_path / "adapter")
    assert not plain.config.effort_thresholds
    with pytest.raises(CheckpointError, match=r"holds no adapter\.json"):
        copy_adapter(tmp_path, tmp_path / "other", whole.config)


def test_an_effort_is_its_threshold() -> None:
    for level, threshold in THRESHOLDS.items():
        options = read_options({"effort": level}, CONFIG, 2)  # type: ignore[typeddict-item]
        assert options.config.gate_threshold == threshold
    assert read_options({"effort": None}, CONFIG, 2).config.gate_threshold == 0.3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"effort": "max"}, "effort is 'max'; use one of 'low', 'medium', 'high'"),
        ({"effort": "low", "gate_threshold": 0.1}, "effort='low' and gate_threshold=0.1 both"),
    ],
)
def test_bad_efforts_are_refused(given: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_options(given, CONFIG, 2)


def test_a_model_without_levels_names_the_way_to_them() -> None:
    bare = dataclasses.replace(CONFIG, effort_thresholds={"low": 0.2})
    with pytest.raises(ConfigError, match=r"effort='high' needs thresholds .* 'qzoom calibrate'"):
        read_options({"effort": "high"}, bare, 2)


def test_asking_with_an_effort() -> None:
    region = {"roi_threshold": ANY_REGION["roi_threshold"]}
    levels = {"low": NEVER, "high": 0.0}
    model = qzoom.ZoomModel(chat_checkpoint("qwen3_vl", effort_thresholds=levels, **region))
    session = model.open(picture())
    direct = session.ask("what?", effort="low", max_new_tokens=3)
    assert (direct.zoomed, direct.gate_probability is None) == (False, False)
    closer = session.ask("what?", effort="high", max_new_tokens=3)
    assert closer.zoomed
    assert closer.token_ids == session.ask("what?", gate_threshold=0, max_new_tokens=3).token_ids
    pieces = session.ask("what?", effort="high", max_new_tokens=3, stream=True)
    assert "".join(pieces) == closer.text
    (many,) = model.ask_many([(picture(), "what?")], effort="high", max_new_tokens=3)
    assert many.zoomed
