"""From labels to an adapter that loads, on a plain backbone and on one with branches."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from tests.tiny import FAMILIES, Family
from tests.tiny_chat import chat_checkpoint

import qzoom
from qzoom.checkpoints.save import save_checkpoint
from qzoom.errors import ConfigError
from qzoom.settings import read_settings_file
from qzoom.train.branch_job import Job
from qzoom.train.branch_recipes import RegionRecipe, loop_settings
from qzoom.train.fresh_branches import with_branches
from qzoom.train.region_training import train_region
from qzoom.zoom.config import ZoomConfig

RECIPE = (
    "epochs: 1.5\nbatch_size: 4\nturns: 2\nbf16: false\noptim: {muon_lr: 0, adamw_lr: 1.0e-3}\n"
)


def plain(family: Family) -> qzoom.ZoomModel:
    whole = chat_checkpoint(family, eos=None)
    return qzoom.ZoomModel(dataclasses.replace(whole, add_on=None, config=ZoomConfig(False)))


def test_an_adapter_for_a_plain_backbone(labelled: Path, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "plain", plain("qwen3_vl").checkpoint)
    (tmp_path / "r.yaml").write_text(RECIPE)
    job = Job(
        (labelled / "labels",), labelled, tmp_path / "out", str(tmp_path / "plain"),
        tmp_path / "r.yaml", workers=0,
    )  # fmt: skip
    adapter = train_region(job)
    model = qzoom.load(tmp_path / "plain", adapter=adapter)
    assert model.config.split_layer == 5
    assert model.parts.add_on is not None
    fresh = with_branches(plain("qwen3_vl").checkpoint).add_on
    assert fresh is not None
    same = {
        name: torch.equal(tensor, model.parts.add_on.state_dict()[name])
        for name, tensor in fresh.state_dict().items()
    }
    assert {name for name, equal in same.items() if equal} == {
        name for name in same if name.startswith("gate.")
    }
    # A second call finds everything done and writes the same adapter.
    assert train_region(job) == adapter


@pytest.mark.parametrize("family", FAMILIES)
def test_fresh_branches_are_copies_of_the_trunk(family: Family) -> None:
    found = with_branches(plain(family).checkpoint, split_layer=4)
    layers = found.trunk.get_submodule("model.language_model.layers")
    assert found.add_on is not None
    assert found.add_on.gate is not None
    for branch in (found.add_on.gate.layers, found.add_on.region.layers):
        for own, layer in zip(branch, list(layers)[4:], strict=False):  # type: ignore[call-overload]
            for name, tensor in own.state_dict().items():
                assert torch.equal(tensor, layer.state_dict()[name])
    assert with_branches(found) is found
    with pytest.raises(ConfigError, match="8 layers; branches of depth 3 after layer 6"):
        with_branches(plain(family).checkpoint, split_layer=6)


def test_a_block_of_a_recipe_keeps_the_defaults_it_does_not_name(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("optim: {adamw_lr: 5.0e-5}")
    optim = read_settings_file(path, RegionRecipe, "recipe").optim
    assert (optim.adamw_lr, optim.muon_lr, optim.schedule) == (5e-5, 0.0, "cosine")


def test_steps_and_warm_up() -> None:
    settings = loop_settings(RegionRecipe(), 185_000, 2)
    assert settings.steps == 1446
    assert settings.optim.warmup_steps == 43
    assert settings.optim.adamw_lr == 1e-4
    with pytest.raises(ConfigError, match="warmup_share is 3"):
        RegionRecipe(warmup_share=3)
    with pytest.raises(ConfigError, match="epochs is 0; it must be above 0"):
        RegionRecipe(epochs=0)
