"""Adapters: branches saved alone give the same answers on their trunk, and only there."""

from __future__ import annotations

import dataclasses
import json
import warnings
from pathlib import Path

import pytest
import torch
from tests.tiny import FAMILIES, Family, randomize
from tests.tiny_chat import ANY_REGION, chat_checkpoint, picture

import qzoom
from qzoom.checkpoints.adapter import save_adapter, with_adapter
from qzoom.checkpoints.load import read_checkpoint
from qzoom.checkpoints.save import save_checkpoint
from qzoom.errors import CheckpointError
from qzoom.zoom.config import ZoomConfig


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_answers_on_a_plain_trunk(tmp_path: Path, family: Family) -> None:
    whole = chat_checkpoint(family)
    save_adapter(tmp_path / "adapter", whole)
    save_checkpoint(
        tmp_path / "plain", dataclasses.replace(whole, add_on=None, config=ZoomConfig(False))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = qzoom.load(tmp_path / "plain", adapter=tmp_path / "adapter")
    assert model.config == whole.config
    expected = qzoom.ZoomModel(whole).open(picture()).ask("what is that?", **ANY_REGION)
    found = model.open(picture()).ask("what is that?", **ANY_REGION)
    assert found.zoomed
    assert found.token_ids == expected.token_ids
    assert found.boxes_xyxy_px == expected.boxes_xyxy_px
    assert found.gate_probability == pytest.approx(expected.gate_probability, abs=1e-6)
    size = (tmp_path / "adapter" / "adapter.safetensors").stat().st_size
    assert size < 0.6 * (tmp_path / "plain" / "model.safetensors").stat().st_size


def test_an_adapter_replaces_branches_that_were_there(tmp_path: Path) -> None:
    other = chat_checkpoint("qwen3_vl")
    assert other.add_on is not None
    randomize(other.add_on, seed=9)
    save_adapter(tmp_path / "adapter", other)
    whole = chat_checkpoint("qwen3_vl")
    changed = with_adapter(whole, tmp_path / "adapter")
    assert changed.add_on is not None
    for name, tensor in changed.add_on.state_dict().items():
        assert torch.equal(tensor, other.add_on.state_dict()[name])


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    mode = (tmp_path / "plain").stat().st_mode
    folder = save_adapter(tmp_path / "adapter", chat_checkpoint("qwen3_vl"))
    save_checkpoint(tmp_path / "model", chat_checkpoint("qwen3_vl"))
    for path in [*folder.iterdir(), *(tmp_path / "model").iterdir()]:
        assert path.stat().st_mode == mode, path.name


def test_another_trunk_is_noticed(tmp_path: Path) -> None:
    save_adapter(tmp_path / "adapter", chat_checkpoint("qwen3_vl"))
    other = chat_checkpoint("qwen3_vl")
    randomize(other.trunk, seed=8)
    with pytest.warns(UserWarning, match="differ below layer 4"):
        with_adapter(other, tmp_path / "adapter")
    with pytest.raises(CheckpointError, match=r"is for 'qwen3_vl', tiny qwen2_5_vl is"):
        with_adapter(chat_checkpoint("qwen2_5_vl"), tmp_path / "adapter")


def test_a_trunk_in_another_type_is_the_same_trunk(tmp_path: Path) -> None:
    whole = chat_checkpoint("qwen3_vl")
    save_adapter(tmp_path / "adapter", whole)
    save_checkpoint(tmp_path / "model", whole)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = with_adapter(
            read_checkpoint(tmp_path / "model", dtype="bfloat16"), tmp_path / "adapter"
        )
    assert found.add_on is not None
    assert {p.dtype for p in found.add_on.parameters()} == {torch.bfloat16}


def test_damage_is_named(tmp_path: Path) -> None:
    whole, folder = chat_checkpoint("qwen3_vl"), tmp_path / "adapter"
    with pytest.raises(CheckpointError, match=r"holds no adapter\.json"):
        with_adapter(whole, tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="holds no adapter; name another"):
        save_adapter(tmp_path / "full", whole)
    with pytest.raises(CheckpointError, match="no branches to save"):
        save_adapter(folder, chat_checkpoint("qwen3_vl", region=False))
    save_adapter(folder, whole)
    save_adapter(folder, whole)
    weights = (folder / "adapter.safetensors").read_bytes()
    (folder / "adapter.safetensors").write_bytes(weights[:100])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        with_adapter(whole, folder)
    (folder / "adapter.safetensors").write_bytes(weights)
    settings = json.loads((folder / "adapter.json").read_text())
    settings["zoom"]["twig_T"] = settings["zoom"]["high_res_T"] = 2
    (folder / "adapter.json").write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match="missing or left over"):
        with_adapter(whole, folder)
    (folder / "adapter.json").write_text(json.dumps({"format": 3}))
    with pytest.raises(CheckpointError, match=r"has format 3 .*reads 1 and 2"):
        with_adapter(whole, folder)
