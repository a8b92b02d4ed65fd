"""Training state that survives a kill at any moment: safetensors and JSON, committed whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from qzoom.checkpoints.files import write_tensors
from qzoom.errors import CheckpointError
from qzoom.train.optim import OptimizerPair
from qzoom.train.parallel import cut_like, whole

MARKER = "COMMITTED.json"
OPTIMIZERS = "optimizers"


def save_state(
    folder: Path,
    step: int,
    modules: Mapping[str, nn.Module],
    optimizers: OptimizerPair,
    *,
    writes: bool = True,
) -> None:
    """Write `folder/step-N` whole or not at all, then drop older states.

    Weights and momenta are written whole, so any number of processes may go on from them.

    Args:
        writes: False in all but one of several processes, which only hand over their shards.
    """
    target, draft = folder / f"step-{step:08d}", folder / f".draft-{step:08d}"
    if writes:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
    tensors = {name: module.state_dict() for name, module in modules.items()}
    for name, found in (*tensors.items(), (OPTIMIZERS, optimizers.tensors())):
        own = _own(found)
        if writes:
            write_tensors(draft / f"{name}.safetensors", own)
    if not writes:
        return
    (draft / MARKER).write_text(json.dumps({"step": step}))
    shutil.rmtree(target, ignore_errors=True)
    os.replace(draft, target)
    for old in states(folder)[:-1]:
        shutil.rmtree(old, ignore_errors=True)


def states(folder: Path) -> list[Path]:
    """Committed states, oldest first."""
    return sorted(p for p in folder.glob("step-*") if (p / MARKER).is_file())


def load_modules(state: Path, modules: Mapping[str, nn.Module], *, strict: bool = True) -> None:
    """Load weights of the named modules from one committed state.

    Raises:
        CheckpointError: when a module's file is missing, damaged or of another shape.
    """
    for name, module in modules.items():
        path = state / f"{name}.safetensors"
        if not path.is_file():
            raise CheckpointError(f"training state {state} holds no {path.name}")
        try:
            _load(module, load_file(path), strict)
        except (RuntimeError, SafetensorError) as error:
            first = str(error).splitlines()[-1].strip()
            raise CheckpointError(f"training state {path} does not fit: {first}") from None


def resume(folder: Path, modules: Mapping[str, nn.Module], optimizers: OptimizerPair) -> int:
    """Load the newest committed state, if any, and return the step to run next.

    Raises:
        CheckpointError: when the state does not fit the modules or what is trained of them.
    """
    found = states(folder)
    if not found:
        return 0
    load_modules(found[-1], modules)
    optimizers.load_tensors(load_file(found[-1] / f"{OPTIMIZERS}.safetensors"))
    return step_of(found[-1])


def step_of(state: Path) -> int:
    """Steps that a committed state has seen."""
    return int(json.loads((state / MARKER).read_text())["step"])


def _load(module: nn.Module, tensors: Mapping[str, torch.Tensor], strict: bool) -> None:
    held = module.state_dict()
    cut = {name: cut_like(t, held[name]) if name in held else t for name, t in tensors.items()}
    module.load_state_dict(cut, strict=strict)


def _own(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Whole tensors without shared memory, as safetensors requires; tied ones stored once each."""
    return {name: whole(value) for name, value in tensors.items()}
