"""Branches as low-rank changes to the trunk's layers: what moves, what is stored, what loads."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.tiny import FAMILIES, Family, randomize
from tests.tiny_chat import ANY_REGION, chat_checkpoint, picture
from tests.train.parts import moved, snapshot
from transformers import Qwen3VLConfig

import qzoom
from qzoom.checkpoints.adapter import save_adapter, with_adapter
from qzoom.checkpoints.low_rank import stored_shapes
from qzoom.checkpoints.save import save_checkpoint
from qzoom.checkpoints.trunk import expected_shapes
from qzoom.errors import CheckpointError, ConfigError
from qzoom.train.fresh_branches import with_branches
from qzoom.train.gate_stage import GateLook, GateStage
from qzoom.train.label_index import LabelIndex
from qzoom.train.loop import LoopSettings, run_stage
from qzoom.train.low_rank import merge_low_rank, start_low_rank
from qzoom.train.low_rank_linear import changed_projections
from qzoom.train.metrics import read_metrics
from qzoom.train.optim import OptimSettings
from qzoom.train.region_stage import RegionStage
from qzoom.train.region_training import Job, train_region
from qzoom.zoom.branches import ZoomAddOn
from qzoom.zoom.config import ZoomConfig
from qzoom.zoom.model import ZoomModel

SETTINGS = LoopSettings(
    steps=8,
    log_every=1,
    workers=0,
    bf16=False,
    optim=OptimSettings(muon_lr=0.0, adamw_lr=1e-2, warmup_steps=1, decay_steps=1),
)


def plain(family: Family = "qwen3_vl") -> qzoom.checkpoints.loaded.LoadedCheckpoint:
    whole = chat_checkpoint(family, eos=None)
    return dataclasses.replace(whole, add_on=None, config=ZoomConfig(False))


def region_stage(labelled: Path, model: ZoomModel) -> RegionStage:
    return RegionStage(model, LabelIndex.open(labelled / "labels"), labelled, 3, seed=1)


@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_changes_move_and_the_merged_model_is_the_same(
    labelled: Path, tmp_path: Path, family: Family
) -> None:
    model = ZoomModel(start_low_rank(with_branches(plain(family)), "region", 2))
    add_on = model.parts.add_on
    assert add_on is not None
    stage = region_stage(labelled, model)
    before = {"trunk": snapshot(model.checkpoint.trunk), "add_on": snapshot(add_on)}
    run_stage(stage, stage.modules, SETTINGS, tmp_path)
    assert not moved(model.checkpoint.trunk, before["trunk"])
    pairs = {name for name in before["add_on"] if ".pair." in name}
    assert moved(add_on, before["add_on"]) == pairs
    # Two whole layers of seven projections and the queries and keys of the third.
    assert len(pairs) == 2 * (2 * 7 + 2)
    losses = [line["loss"] for line in read_metrics(tmp_path / "metrics.jsonl")]
    assert losses[-1] < losses[0]
    apart = model.open(picture()).ask("what?", **ANY_REGION, max_new_tokens=2)
    loss = float(stage.loss(stage.make_batch(0))[0].detach())
    merged = ZoomModel(merge_low_rank(model.checkpoint, "region"))
    assert not changed_projections(add_on)
    assert float(stage.loss(stage.make_batch(0))[0].detach()) == pytest.approx(loss, abs=1e-5)
    together = merged.open(picture()).ask("what?", **ANY_REGION, max_new_tokens=2)
    assert together.boxes_xyxy_px == apart.boxes_xyxy_px
    assert together.token_ids == apart.token_ids


def test_a_gate_trains_its_changes_and_its_head(labelled: Path, tmp_path: Path) -> None:
    model = ZoomModel(start_low_rank(with_branches(plain()), "gate", 2))
    looks = [GateLook("0.png", "what is that?", 1), GateLook("1.png", "what is that?", 0)]
    stage = GateStage(model, lambda _: looks, labelled)
    add_on = model.parts.add_on
    assert add_on is not None
    before = snapshot(add_on)
    run_stage(stage, stage.modules, SETTINGS, tmp_path)
    found = moved(add_on, before)
    assert {"gate.head.weight", "gate.head.bias"} < found
    assert all(name.startswith("gate.head.") or ".pair." in name for name in found)


def train(labelled: Path, root: Path, model: Path, lora_rank: int) -> Path:
    root.mkdir()
    recipe = root / "recipe.yaml"
    recipe.write_text(
        "epochs: 2\nbatch_size: 2\nbf16: false\noptim: {adamw_lr: 1.0e-2}\n"
        f"branches: {{lora_rank: {lora_rank}}}\n"
    )
    return train_region(
        Job((labelled / "labels",), labelled, root / "out", str(model), recipe, workers=0)
    )


def test_an_adapter_of_changes_loads_as_ordinary_layers(labelled: Path, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "plain", plain())
    adapter = train(labelled, tmp_path / "lora", tmp_path / "plain", 2)
    stored = load_file(adapter / "adapter.safetensors")
    heads = {"model.language_model.high_res_head.weight", "model.language_model.high_res_head.bias"}
    assert {name for name in stored if ".lora_" not in name} == heads
    model = qzoom.load(tmp_path / "plain", adapter=adapter)
    fresh = with_branches(model.checkpoint)
    assert fresh.add_on is not None
    origin = with_branches(plain()).add_on
    assert origin is not None
    changed = moved(fresh.add_on, snapshot(origin))
    assert changed
    assert all(name.startswith("region.") and "_proj.weight" in name for name in changed)
    # Saved and loaded again it is the same, and stays small.
    again = save_adapter(tmp_path / "again", model.checkpoint)
    assert load_file(again / "adapter.safetensors").keys() == stored.keys()
    twice = qzoom.load(tmp_path / "plain", adapter=again)
    assert twice.parts.add_on is not None
    assert not moved(twice.parts.add_on, snapshot(fresh.add_on))
    # Training goes on from the changes that were loaded.
    lower = merge_low_rank(start_low_rank(twice.checkpoint, "region", 2), "region")
    assert lower.add_on is not None
    assert not moved(lower.add_on, snapshot(fresh.add_on))
    # The sum is made in float32 and rounded once.
    short = qzoom.load(tmp_path / "plain", adapter=adapter, dtype="bfloat16").parts.add_on
    assert short is not None
    assert short.region.final.q_proj.weight.dtype == torch.bfloat16


def test_a_branch_that_is_trained_on_is_stored_whole(labelled: Path, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "plain", plain())
    adapter = train(labelled, tmp_path / "lora", tmp_path / "plain", 2)
    checkpoint = with_adapter(plain(), adapter)
    assert checkpoint.add_on is not None
    with torch.no_grad():
        checkpoint.add_on.region.layers[0].mlp.up_proj.weight[0, 0] += 1.0  # type: ignore[union-attr, index]
    folder = save_adapter(tmp_path / "whole", checkpoint)
    assert json.loads((folder / "adapter.json").read_text())["low_rank"] == {"gate": 0}
    assert not any(".lora_" in name for name in load_file(folder / "adapter.safetensors"))
    found = with_adapter(plain(), folder)
    assert found.add_on is not None
    assert not moved(found.add_on, snapshot(checkpoint.add_on))


def test_changes_to_another_trunk_are_refused(labelled: Path, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "plain", plain())
    adapter = train(labelled, tmp_path / "lora", tmp_path / "plain", 2)
    other = plain()
    upper = other.trunk.get_submodule("model.language_model.layers.6")
    randomize(upper, seed=8)
    with pytest.raises(CheckpointError, match="differ below layer 8, and it holds changes to them"):
        with_adapter(other, adapter)
    with pytest.raises(CheckpointError, match=r"is for 'qwen3_vl', tiny qwen2_5_vl is"):
        with_adapter(plain("qwen2_5_vl"), adapter)
    settings = json.loads((adapter / "adapter.json").read_text())
    for changed in ({"low_rank": {"region": 3, "gate": 0}}, {"low_rank": {"gate": 0}}):
        (adapter / "adapter.json").write_text(json.dumps(settings | changed))
        with pytest.raises(CheckpointError, match=r"another trunk|missing or left over"):
            with_adapter(plain(), adapter)
    for changed in ({"low_rank": {}}, {"low_rank": {"region": -1}}, {"format": 1}):
        (adapter / "adapter.json").write_text(json.dumps(settings | changed))
        with pytest.raises(CheckpointError, match="or is damaged"):
            with_adapter(plain(), adapter)


def test_a_lora_adapter_of_a_4b_model_is_a_hundredth() -> None:
    text = Qwen3VLConfig(
        text_config={
            "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36,
            "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
        }
    ).text_config  # fmt: skip
    config = ZoomConfig(True, split_layer=24, branch_depth=3, gate_enabled=True)
    with torch.device("meta"):
        shapes = expected_shapes(ZoomAddOn(text, config))
    whole = sum(math.prod(shape) for shape in shapes.values())

    def share(**ranks: int) -> float:
        stored = stored_shapes(shapes, ranks, config.branch_depth)
        return sum(math.prod(shape) for shape in stored.values()) / whole

    assert share() == 1.0
    assert 0.005 < share(region=16, gate=16) < 0.02
    assert share(region=16, gate=0) < share(region=16, gate=16) < share(region=32, gate=32) < 0.05


def test_ranks_and_branches_that_cannot_be() -> None:
    checkpoint = with_branches(plain())
    assert start_low_rank(checkpoint, "region", 0) is checkpoint
    assert merge_low_rank(checkpoint, "region") is checkpoint
    with pytest.raises(ConfigError, match="lora_rank is -1"):
        start_low_rank(checkpoint, "region", -1)
    with pytest.raises(ConfigError, match="has no gate branch to train"):
        start_low_rank(chat_checkpoint("qwen3_vl", gate=False), "gate", 4)
