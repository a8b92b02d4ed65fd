"""Damaged, missing and hostile files of a checkpoint folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.tiny import shard_checkpoint, write_json, write_reference_checkpoint

from qzoom.checkpoints import read_checkpoint
from qzoom.checkpoints.released import RELEASED, base_repository
from qzoom.errors import CheckpointError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_reference_checkpoint(tmp_path / "tiny", "qwen3_vl")


def edit_index(folder: Path, **entries: str | None) -> None:
    path = folder / "model.safetensors.index.json"
    index: dict[str, Any] = json.loads(path.read_text())
    for name, file in entries.items():
        if file is None:
            del index["weight_map"][name]
        else:
            index["weight_map"][name] = file
    write_json(path, index)


@pytest.mark.parametrize("kept", [0, 4, 200, 100_000])
def test_truncated_weights(folder: Path, kept: int) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="perhaps cut short"):
        read_checkpoint(folder)


def test_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no model\.safetensors and no"):
        read_checkpoint(folder)


def test_pickled_weights_are_never_opened(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"only pickled weights \(pytorch_model\.bin\)"):
        read_checkpoint(folder)


def test_missing_shard(folder: Path) -> None:
    shard_checkpoint(folder)
    (folder / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"shard model-00002-of-00003\.safetensors is miss"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    "file",
    [
        "../outside.safetensors",
        "/etc/passwd",
        "sub/model.safetensors",
        "..\\x.safetensors",
        "a.bin",
    ],
)
def test_index_must_not_lead_out_of_the_folder(folder: Path, file: str) -> None:
    shard_checkpoint(folder)
    source = folder / "model-00001-of-00003.safetensors"
    (folder.parent / "outside.safetensors").write_bytes(source.read_bytes())
    edit_index(folder, **{"lm_head.weight": file})
    with pytest.raises(CheckpointError, match=r"not a plain \.safetensors file"):
        read_checkpoint(folder)


def test_index_that_misplaces_a_tensor(folder: Path) -> None:
    shard_checkpoint(folder)
    edit_index(folder, phantom="model-00001-of-00003.safetensors")
    with pytest.raises(CheckpointError, match="places phantom in model-00001"):
        read_checkpoint(folder)


def test_tensor_in_two_shards(folder: Path) -> None:
    shard_checkpoint(folder)
    copy = folder / "model-copy.safetensors"
    copy.write_bytes((folder / "model-00001-of-00003.safetensors").read_bytes())
    edit_index(folder, phantom=copy.name)
    with pytest.raises(CheckpointError, match=r"is in both model-0.* and model-copy"):
        read_checkpoint(folder)


def test_index_without_weight_map(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    write_json(folder / "model.safetensors.index.json", {"metadata": {}})
    with pytest.raises(CheckpointError, match="no weight_map"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "not readable JSON"), ("[]", "must hold a JSON object"), ("[" * 10**5, "not readable")],
)
def test_bad_config_json(folder: Path, text: str, message: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(folder)


def test_missing_config_json(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        read_checkpoint(folder)


def test_a_file_is_not_a_checkpoint(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="is a file; pass the folder"):
        read_checkpoint(folder / "config.json")


def test_damaged_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match="cannot read the tokenizer"):
        read_checkpoint(folder)


def test_tokenizer_needing_code_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    remote = {"auto_map": {"AutoTokenizer": ["evil.Tokenizer", None]}, "tokenizer_class": "Evil"}
    write_json(folder / "tokenizer_config.json", remote)
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(CheckpointError, match="cannot read the tokenizer"):
        read_checkpoint(folder)


def test_released_names_know_their_backbones() -> None:
    assert len(RELEASED) == 3
    assert base_repository("YuhengSSS/Q-Zoom-Qwen3VL-4B") == "Qwen/Qwen3-VL-4B-Instruct"
    assert base_repository("yuhengsss/q-zoom-qwen2.5vl-7b") == "Qwen/Qwen2.5-VL-7B-Instruct"
    assert base_repository("Qwen/Qwen3-VL-4B-Instruct") is None
