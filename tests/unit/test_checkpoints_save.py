"""Saving: identical numbers back, nothing stored twice, nothing half-written."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.tiny import FAMILIES, Family, write_reference_checkpoint

from qzoom.checkpoints import LoadedCheckpoint, read_checkpoint, save_checkpoint
from qzoom.errors import CheckpointError


def assert_same(first: LoadedCheckpoint, second: LoadedCheckpoint) -> None:
    assert first.config == second.config
    assert first.family == second.family
    assert first.image_settings == second.image_settings
    assert first.generation_config.to_dict() == second.generation_config.to_dict()
    pairs = [(first.trunk, second.trunk)]
    assert (first.add_on is None) == (second.add_on is None)
    if first.add_on is not None and second.add_on is not None:
        pairs.append((first.add_on, second.add_on))  # type: ignore[arg-type]
    for one, other in pairs:
        tensors, others = one.state_dict(), other.state_dict()
        assert tensors.keys() == others.keys()
        for name, value in tensors.items():
            assert value.dtype == others[name].dtype
            assert torch.equal(value, others[name]), name


@pytest.mark.parametrize(
    "parts",
    [{}, {"gate": False}, {"gate": False, "region": False}, {"tied": True}, {"layout": "new"}],
    ids=["full", "region-only", "plain", "tied", "new-layout"],
)
@pytest.mark.parametrize("family", FAMILIES)
def test_round_trip(tmp_path: Path, family: Family, parts: dict[str, Any]) -> None:
    loaded = read_checkpoint(write_reference_checkpoint(tmp_path / "in", family, **parts))
    folder = save_checkpoint(tmp_path / "deep" / "out", loaded)
    assert_same(loaded, read_checkpoint(folder))
    assert not list(folder.parent.glob(".*"))


@pytest.mark.parametrize("family", FAMILIES)
def test_saved_file_has_published_names_and_no_dead_weights(tmp_path: Path, family: Family) -> None:
    source = write_reference_checkpoint(tmp_path / "in", family)
    saved = load_file(
        save_checkpoint(tmp_path / "out", read_checkpoint(source)) / "model.safetensors"
    )
    original = load_file(source / "model.safetensors")
    members = ("v_proj", "o_proj", "mlp", "post_attention_layernorm")
    dead = {n for n in original if "twig_layers.2." in n and any(m in n for m in members)}
    assert saved.keys() == original.keys() - dead
    assert dead
    assert all(torch.equal(value, original[name]) for name, value in saved.items())


def test_tied_head_is_stored_once(tmp_path: Path) -> None:
    source = write_reference_checkpoint(tmp_path / "in", "qwen3_vl", tied=True)
    folder = save_checkpoint(tmp_path / "out", read_checkpoint(source))
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")


@pytest.mark.parametrize("size", [200_000, "200KB"])
def test_shards(tmp_path: Path, size: int | str) -> None:
    loaded = read_checkpoint(write_reference_checkpoint(tmp_path / "in", "qwen2_5_vl"))
    folder = save_checkpoint(tmp_path / "out", loaded, max_shard_size=size)
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 3
    assert not (folder / "model.safetensors").exists()
    assert_same(loaded, read_checkpoint(folder))
    save_checkpoint(folder, loaded)
    assert [file.name for file in folder.glob("*.safetensors*")] == ["model.safetensors"]


def test_bad_shard_size(tmp_path: Path) -> None:
    loaded = read_checkpoint(write_reference_checkpoint(tmp_path / "in", "qwen3_vl"))
    with pytest.raises(CheckpointError, match="max_shard_size='big'"):
        save_checkpoint(tmp_path / "out", loaded, max_shard_size="big")


def test_changed_settings_and_dtype_are_kept(tmp_path: Path) -> None:
    source = write_reference_checkpoint(tmp_path / "in", "qwen3_vl")
    loaded = read_checkpoint(source, dtype=torch.bfloat16)
    config = loaded.config.with_overrides(gate_threshold=0.5, sink_rule="none", sink_cutoff=0.6)
    changed = dataclasses.replace(loaded, config=config)
    again = read_checkpoint(save_checkpoint(tmp_path / "out", changed))
    assert_same(changed, again)
    assert again.trunk.dtype == torch.bfloat16


def test_saving_over_the_folder_it_was_read_from(tmp_path: Path) -> None:
    folder = write_reference_checkpoint(tmp_path, "qwen3_vl")
    (folder / "README.md").write_text("mine")
    loaded = read_checkpoint(folder)
    save_checkpoint(folder, loaded)
    assert_same(loaded, read_checkpoint(folder))
    assert (folder / "README.md").read_text() == "mine"


def test_other_folders_are_not_overwritten_unless_told(tmp_path: Path) -> None:
    loaded = read_checkpoint(write_reference_checkpoint(tmp_path / "in", "qwen3_vl"))
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "one.png").write_bytes(b"png")
    with pytest.raises(CheckpointError, match="not empty and holds no checkpoint"):
        save_checkpoint(photos, loaded)
    assert [file.name for file in photos.iterdir()] == ["one.png"]
    save_checkpoint(photos, loaded, overwrite=True)
    assert (photos / "one.png").read_bytes() == b"png"
    assert_same(loaded, read_checkpoint(photos))
    with pytest.raises(CheckpointError, match="is a file; name a folder"):
        save_checkpoint(photos / "one.png", loaded, overwrite=True)


def test_a_failed_write_leaves_the_old_checkpoint_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_reference_checkpoint(tmp_path / "in", "qwen3_vl")
    loaded = read_checkpoint(folder)

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("qzoom.checkpoints.save.write_tensors", full_disk)
    with pytest.raises(CheckpointError, match=r"cannot write checkpoint .* No space left"):
        save_checkpoint(folder, loaded)
    assert os.listdir(tmp_path) == ["in"]
    assert_same(loaded, read_checkpoint(folder))


def test_an_interrupted_move_never_passes_for_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_reference_checkpoint(tmp_path / "in", "qwen3_vl")
    loaded = read_checkpoint(folder)
    move = os.replace

    def stop_at_weights(source: Path, target: Path) -> None:
        if target.name == "model.safetensors":
            raise OSError("interrupted")
        move(source, target)

    monkeypatch.setattr("qzoom.checkpoints.save.os.replace", stop_at_weights)
    with pytest.raises(CheckpointError, match="interrupted"):
        save_checkpoint(folder, loaded)
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        read_checkpoint(folder)


@pytest.mark.parametrize("family", FAMILIES)
def test_plain_transformers_reads_the_saved_trunk(tmp_path: Path, family: Family) -> None:
    from transformers import AutoModelForImageTextToText

    loaded = read_checkpoint(write_reference_checkpoint(tmp_path / "in", family))
    folder = save_checkpoint(tmp_path / "out", loaded)
    model, report = AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    for name, value in loaded.trunk.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name


def test_config_json_repeats_the_published_fields(tmp_path: Path) -> None:
    source = write_reference_checkpoint(tmp_path / "in", "qwen2_5_vl")
    folder = save_checkpoint(tmp_path / "out", read_checkpoint(source))
    before = json.loads((source / "config.json").read_text())
    after = json.loads((folder / "config.json").read_text())
    zoom = [n for n in before if n.startswith(("roi_", "twig_", "high_res_", "enable_", "reuse_"))]
    assert {name: after[name] for name in zoom} == {name: before[name] for name in zoom}
    assert (after["dtype"], after["model_type"]) == ("float32", "qwen2_5_vl")
