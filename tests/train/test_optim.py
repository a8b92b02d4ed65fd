"""Optimisers: who trains what, and how fast when."""

from __future__ import annotations

import itertools

import pytest
import torch
from tests.train.parts import make_heads, make_model
from torch import nn

from qzoom.errors import CheckpointError
from qzoom.train.optim import OptimizerPair, OptimSettings, schedule
from qzoom.train.questions import freeze_tower


def named(**modules: nn.Module) -> dict[str, nn.Parameter]:
    return {f"{m}.{n}": p for m, module in modules.items() for n, p in module.named_parameters()}


def test_schedule_rises_stays_and_falls() -> None:
    settings = OptimSettings(warmup_steps=4, decay_steps=5)
    shares = [schedule(step, 20, settings) for step in range(20)]
    assert shares[:4] == [0.25, 0.5, 0.75, 1.0]
    assert shares[3:16] == [1.0] * 13
    assert shares[15:] == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])
    assert schedule(20, 20, settings) == 0.0
    assert schedule(25, 20, settings) == 0.0


def test_schedule_without_warmup_or_decay() -> None:
    settings = OptimSettings(warmup_steps=0, decay_steps=0)
    assert [schedule(step, 3, settings) for step in range(3)] == [1.0, 1.0, 1.0]


def test_cosine_falls_from_the_warm_up_to_zero() -> None:
    settings = OptimSettings(warmup_steps=4, schedule="cosine")
    shares = [schedule(step, 20, settings) for step in range(21)]
    assert shares[:4] == [0.25, 0.5, 0.75, 1.0]
    assert shares[4] == 1.0
    assert shares[12] == pytest.approx(0.5)
    assert shares[20] == pytest.approx(0.0)
    assert all(a > b for a, b in itertools.pairwise(shares[4:]))


def test_without_muon_adamw_trains_everything() -> None:
    model = make_model()
    pair = OptimizerPair(named(model=model), OptimSettings(muon_lr=0.0))
    assert list(pair.parts) == ["adamw"]
    held = sum(len(group["params"]) for group in pair.parts["adamw"].param_groups)
    assert held == len(pair.named)


def test_every_trained_parameter_has_one_optimiser() -> None:
    model = make_model()
    parameters = named(model=model, heads=make_heads(model))
    pair = OptimizerPair(parameters, OptimSettings())
    groups = itertools.chain.from_iterable(part.param_groups for part in pair.parts.values())
    held = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(held) == len(set(held)) == len(parameters)
    names = {id(p): name for name, p in parameters.items()}
    muon = {names[id(p)] for g in pair.parts["muon"].param_groups for p in g["params"]}
    assert "model.model.language_model.layers.0.mlp.up_proj.weight" in muon
    assert "model.model.visual.blocks.0.attn.qkv.weight" in muon
    assert not any("embed" in name or name.startswith("heads.") for name in muon)
    assert all(parameters[name].ndim == 2 for name in muon)


def test_frozen_parameters_have_none() -> None:
    model = make_model()
    freeze_tower(model.model.visual)
    pair = OptimizerPair(named(model=model), OptimSettings())
    tower = {name for name in pair.named if ".visual." in name}
    assert tower
    assert all("merger" in name for name in tower)


def test_the_tower_can_learn_more_slowly() -> None:
    model = make_model()
    parameters = named(model=model)
    pair = OptimizerPair(parameters, OptimSettings(tower_scale=0.1, warmup_steps=0, decay_steps=0))
    for parameter in parameters.values():
        parameter.grad = torch.zeros_like(parameter)
    assert pair.step(0, 10) == 0.0
    tower = {id(p) for name, p in parameters.items() if ".visual." in name}
    for part, base in (("muon", 0.02), ("adamw", 2e-3)):
        for group in pair.parts[part].param_groups:
            scale = 0.1 if id(group["params"][0]) in tower else 1.0
            assert group["lr"] == pytest.approx(base * scale)
            assert {id(p) in tower for p in group["params"]} == {scale == 0.1}


def test_gradients_are_clipped_and_cleared() -> None:
    net = nn.Linear(3, 1, bias=False)
    pair = OptimizerPair(named(net=net), OptimSettings(max_grad_norm=1.0))
    net.weight.grad = torch.tensor([[3.0, 0.0, 4.0]])
    assert pair.step(0, 10) == pytest.approx(5.0)
    assert net.weight.grad is None


def test_momenta_of_other_parameters_are_refused() -> None:
    pair = OptimizerPair(named(net=nn.Linear(3, 2)), OptimSettings())
    with pytest.raises(CheckpointError, match=r"trained net\.gone with muon"):
        pair.load_tensors({"muon/net.gone/momentum_buffer": torch.zeros(1)})
