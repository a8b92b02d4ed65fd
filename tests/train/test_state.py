"""Training states: whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.train.toy import Line
from torch import nn

from qzoom.errors import CheckpointError
from qzoom.train.optim import OptimizerPair, OptimSettings
from qzoom.train.state import MARKER, load_modules, resume, save_state, states, step_of


def trained(net: nn.Module, steps: int = 2) -> OptimizerPair:
    """Optimisers of a network that took some steps."""
    optimizers = OptimizerPair(
        {f"net.{name}": p for name, p in net.named_parameters()}, OptimSettings()
    )
    for step in range(steps):
        net(torch.ones(3, 4)).square().sum().backward()
        optimizers.step(step, 10)
    return optimizers


def test_a_state_gives_back_weights_and_momenta(tmp_path: Path) -> None:
    stage, other = Line(), Line(seed=1)
    optimizers, fresh = trained(stage.net), trained(other.net, 0)
    save_state(tmp_path, 7, {"net": stage.net}, optimizers)
    assert resume(tmp_path, {"net": other.net}, fresh) == 7
    for name, value in stage.net.state_dict().items():
        assert torch.equal(value, other.net.state_dict()[name])
    mine, theirs = optimizers.tensors(), fresh.tensors()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)
    assert {key.split("/")[0] for key in mine} == {"muon", "adamw"}


def test_only_the_newest_state_is_kept(tmp_path: Path) -> None:
    stage = Line()
    for step in (3, 6, 10):
        save_state(tmp_path, step, {"net": stage.net}, trained(stage.net))
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000010"]


def test_half_written_folders_are_ignored(tmp_path: Path) -> None:
    stage = Line()
    save_state(tmp_path, 3, {"net": stage.net}, trained(stage.net))
    for name in (".draft-00000006", "step-00000009"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "net.safetensors").write_bytes(b"half")
    assert [step_of(state) for state in states(tmp_path)] == [3]
    assert resume(tmp_path, {"net": stage.net}, trained(stage.net)) == 3
    save_state(tmp_path, 6, {"net": stage.net}, trained(stage.net))
    assert [step_of(state) for state in states(tmp_path)] == [6]


@pytest.mark.parametrize("place", ["write", "move"])
def test_a_save_that_breaks_keeps_the_state_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def broken(*_: Any) -> None:
        raise OSError("no space left")

    stage = Line()
    save_state(tmp_path, 3, {"net": stage.net}, trained(stage.net))
    kept = {name: value.clone() for name, value in stage.net.state_dict().items()}
    optimizers = trained(stage.net)
    with monkeypatch.context() as patch:
        if place == "write":
            patch.setattr(os, "fsync", broken)
        else:
            patch.setattr(os, "replace", broken)
        with pytest.raises(OSError, match="no space left"):
            save_state(tmp_path, 6, {"net": stage.net}, optimizers)
    assert resume(tmp_path, {"net": stage.net}, trained(stage.net)) == 3
    assert all(torch.equal(kept[name], value) for name, value in stage.net.state_dict().items())


def test_nothing_to_resume(tmp_path: Path) -> None:
    assert states(tmp_path / "gone") == []
    assert resume(tmp_path, {"net": Line().net}, trained(Line().net)) == 0


def test_states_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    stage = Line()
    save_state(tmp_path, 3, {"net": stage.net}, trained(stage.net))
    state = states(tmp_path)[0]
    with pytest.raises(CheckpointError, match=r"holds no heads\.safetensors"):
        load_modules(state, {"heads": nn.Linear(2, 2)})
    with pytest.raises(CheckpointError, match=r"does not fit: .*size mismatch"):
        load_modules(state, {"net": nn.Sequential(nn.Linear(4, 9), nn.Tanh(), nn.Linear(9, 1))})
    frozen = Line()
    frozen.net[0].requires_grad_(False)
    with pytest.raises(CheckpointError, match=r"trained net\.0\."):
        resume(tmp_path, {"net": frozen.net}, trained(frozen.net, 0))
    (state / "net.safetensors").write_bytes(b"cut short")
    with pytest.raises(CheckpointError, match=r"net\.safetensors is damaged: .*begin anew"):
        load_modules(state, {"net": stage.net})


def test_tied_weights_are_stored_and_stay_tied(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
            self.second.weight = self.first.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.second(self.first(x))
            return out

    net, other = Tied(), Tied()
    save_state(tmp_path, 1, {"net": net}, trained(net))
    assert (states(tmp_path)[0] / MARKER).is_file()
    load_modules(states(tmp_path)[0], {"net": other})
    assert torch.equal(other.second.weight, net.first.weight)
    assert other.second.weight is other.first.weight
