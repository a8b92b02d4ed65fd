"""The reference's own checkpoints load, match plain transformers, and survive a round trip."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from qzoom.checkpoints import read_checkpoint, save_checkpoint

GOLDENS = [
    f"{family}-{kind}"
    for family in ("qwen3_vl", "qwen2_5_vl")
    for kind in ("aligned", "plain", "large")
]


@pytest.mark.parametrize("name", GOLDENS)
def test_settings(shared_goldens: Path, name: str) -> None:
    loaded = read_checkpoint(shared_goldens / name / "checkpoint")
    config = loaded.config
    assert loaded.family == name.partition("-")[0]
    assert (config.split_layer, config.branch_depth, config.gate_threshold) == (4, 3, 0.05)
    assert config.align_roi_positions == (not name.endswith("plain"))
    assert config.sink_rule == ("token0" if loaded.family == "qwen3_vl" else "corner")
    assert loaded.tokenizer is None
    assert loaded.image_settings["min_pixels"] < loaded.image_settings["max_pixels"]


@pytest.mark.parametrize("name", ["qwen3_vl-plain", "qwen2_5_vl-plain"])
def test_trunk_equals_plain_transformers(shared_goldens: Path, name: str) -> None:
    from transformers import AutoModelForImageTextToText

    folder = shared_goldens / name / "checkpoint"
    loaded = read_checkpoint(folder, attn_implementation="eager")
    plain = AutoModelForImageTextToText.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    )
    for name_, value in loaded.trunk.state_dict().items():
        assert torch.equal(value, plain.state_dict()[name_]), name_
    for name_, value in loaded.trunk.named_buffers():
        assert torch.equal(value, plain.get_buffer(name_)), name_
    prompt = torch.tensor([[1, 30, 31, 32, 2, 7]])
    with torch.inference_mode():
        expected = plain(input_ids=prompt).logits
        assert torch.equal(loaded.trunk(input_ids=prompt).logits, expected)


@pytest.mark.parametrize("name", GOLDENS)
def test_round_trip(shared_goldens: Path, tmp_path: Path, name: str) -> None:
    source = shared_goldens / name / "checkpoint"
    loaded = read_checkpoint(source)
    folder = save_checkpoint(tmp_path / "out", loaded)
    saved, original = (load_file(f / "model.safetensors") for f in (folder, source))
    assert all(torch.equal(value, original[key]) for key, value in saved.items())
    assert all("twig_layers.2." in key for key in original.keys() - saved.keys())
    again = read_checkpoint(folder)
    assert again.config == loaded.config
    assert again.image_settings == loaded.image_settings
    assert loaded.add_on is not None
    assert again.add_on is not None
    branches = again.add_on.state_dict()
    assert all(torch.equal(v, branches[k]) for k, v in loaded.add_on.state_dict().items())
