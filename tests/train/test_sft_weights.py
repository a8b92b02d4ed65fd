"""What post-SFT trains, and that less memory or fewer weights change no gradient and no logit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from tests.tiny import FAMILIES, Family
from tests.train.parts import moved, snapshot
from tests.train.sft_parts import (
    RECIPE,
    fresh_model,
    samples,
    settings,
    stage_of,
    write_pictures,
)
from torch import nn

from qzoom.checkpoints.save import save_checkpoint
from qzoom.errors import ConfigError
from qzoom.loading import load
from qzoom.train.loop import run_stage
from qzoom.train.lora import LoraSettings
from qzoom.train.low_rank_linear import changed_projections
from qzoom.train.metrics import read_metrics
from qzoom.train.sft_recipe import SftRecipe
from qzoom.train.sft_stage import SftStage
from qzoom.train.sft_weights import settle
from qzoom.zoom.model import ZoomModel

LORA = dataclasses.replace(RECIPE, lora=LoraSettings(4, 8.0, ("q_proj", "down_proj")))
HEAD, EMBEDDING = "lm_head.weight", "model.language_model.embed_tokens.weight"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    write_pictures(root)
    return root


def train(
    folder: Path, out: Path, model: ZoomModel, recipe: SftRecipe, steps: int = 2
) -> tuple[SftStage, set[str]]:
    """Train; the stage, and the names of the trunk's weights that moved."""
    trunk, add_on = model.checkpoint.trunk, model.parts.add_on
    assert add_on is not None
    before, branches = snapshot(trunk), snapshot(add_on)
    stage = stage_of(folder, model, recipe)
    run_stage(stage, stage.modules, settings(steps), out)
    settle(model)
    assert not moved(add_on, branches)
    return stage, moved(trunk, before)


def decoder_names(trunk: nn.Module) -> set[str]:
    names = {name for name, _ in trunk.named_parameters()}
    parts = ("model.language_model.layers.", "model.language_model.norm.")
    return {name for name in names if name.startswith(parts)}


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_decoder_moves_and_nothing_else(
    folder: Path, tmp_path: Path, family: Family, tied: bool
) -> None:
    model = fresh_model(family, tied=tied)
    _, names = train(folder, tmp_path, model, RECIPE)
    wanted = decoder_names(model.checkpoint.trunk)
    wanted |= {HEAD, EMBEDDING} if tied else {HEAD}
    assert names == wanted


@pytest.mark.parametrize("tied", [False, True])
def test_all_is_the_vision_tower_too(folder: Path, tmp_path: Path, tied: bool) -> None:
    model = fresh_model(tied=tied)
    recipe = dataclasses.replace(RECIPE, trainable="all")
    stage, names = train(folder, tmp_path, model, recipe)
    assert names == set(model.checkpoint.trunk.state_dict())
    assert {name for name in stage.modules if "." in name} == {"model.visual"}


def test_lora_moves_its_matrices_and_merges_into_the_same_logits(
    folder: Path, tmp_path: Path
) -> None:
    model = fresh_model()
    trunk = model.checkpoint.trunk
    plain = snapshot(trunk)
    stage = stage_of(folder, model, LORA)
    batch = stage.pack(samples())
    untouched = stage_of(folder).forced(batch).logits_tv
    # The matrices add nothing at first.
    torch.testing.assert_close(stage.forced(batch).logits_tv, untouched, rtol=0, atol=0)
    run_stage(stage, stage.modules, settings(3), tmp_path)
    assert {name.rpartition(".")[2] for name in snapshot(stage.modules["lora"])} == {"up", "down"}
    assert len(stage.modules["lora"]) == 2 * 8  # type: ignore[arg-type]
    for name, value in trunk.state_dict().items():
        if ".pair." not in name:
            assert torch.equal(value, plain[name.replace(".base.", ".")]), name
    apart = stage.forced(batch).logits_tv
    settle(model)
    merged = stage.forced(batch).logits_tv
    torch.testing.assert_close(merged, apart, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(merged, untouched, atol=1e-3)
    assert not changed_projections(trunk)
    changed = {name.split(".")[-2] for name in moved(trunk, plain)}
    assert changed == {"q_proj", "down_proj"}
    save_checkpoint(tmp_path / "model", model.checkpoint)
    again = stage_of(folder, load(tmp_path / "model")).forced(batch).logits_tv
    torch.testing.assert_close(again, merged, rtol=0, atol=0)


def test_lora_resumes(folder: Path, tmp_path: Path) -> None:
    whole, half = fresh_model(), fresh_model()
    train(folder, tmp_path / "whole", whole, LORA, 6)
    stage = stage_of(folder, half, LORA)
    short = dataclasses.replace(settings(6), steps=3)
    short = dataclasses.replace(short, optim=dataclasses.replace(short.optim, schedule="plateau"))
    run_stage(stage, stage.modules, short, tmp_path / "half")
    other = fresh_model()
    _, names = train(folder, tmp_path / "half", other, LORA, 3)
    settle(half)
    assert names
    assert not moved(other.checkpoint.trunk, snapshot(half.checkpoint.trunk))


@pytest.mark.parametrize("trainable", ["decoder", "all"])
@pytest.mark.parametrize("family", FAMILIES)
def test_recomputing_layers_changes_no_gradient(
    folder: Path, family: Family, trainable: str
) -> None:
    gradients = []
    for recompute in (False, True):
        recipe = dataclasses.replace(RECIPE, trainable=trainable, recompute=recompute)
        stage = stage_of(folder, fresh_model(family), recipe)
        loss, _ = stage.loss(stage.pack(samples()))
        loss.backward()  # type: ignore[no-untyped-call]
        gradients.append(
            {
                f"{name}.{part}": parameter.grad
                for name, module in stage.modules.items()
                for part, parameter in module.named_parameters()
            }
        )
    kept, recomputed = gradients
    assert kept.keys() == recomputed.keys()
    for name, gradient in kept.items():
        assert gradient is not None, name
        torch.testing.assert_close(recomputed[name], gradient, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("lora", [LoraSettings(), LORA.lora])
@pytest.mark.parametrize("family", FAMILIES)
def test_autocast_trains_float32_weights(
    folder: Path, tmp_path: Path, family: Family, lora: LoraSettings
) -> None:
    recipe = dataclasses.replace(RECIPE, bf16=True, recompute=True, lora=lora)
    stage = stage_of(folder, fresh_model(family), recipe)
    exact, _ = stage.loss(stage.make_batch(0))
    run_stage(stage, stage.modules, dataclasses.replace(settings(2), bf16=True), tmp_path)
    (first, _) = read_metrics(tmp_path / "metrics.jsonl")
    assert first["loss"] == pytest.approx(float(exact.detach()), rel=0.02)
    assert first["loss"] != round(float(exact.detach()), 4)
    kinds = {p.dtype for module in stage.modules.values() for p in module.parameters()}
    assert kinds == {torch.float32}


def test_mistakes_in_a_recipe_are_one_line() -> None:
    with pytest.raises(ConfigError, match=r"set trainable to decoder or lora\.rank to 0"):
        SftRecipe(trainable="all", lora=LoraSettings(rank=2))
    with pytest.raises(ConfigError, match="trainable is 'head'"):
        SftRecipe(trainable="head")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="rank of at least 0"):
        LoraSettings(rank=-1)
