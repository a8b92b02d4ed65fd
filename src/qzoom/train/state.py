"""Training state that survives a kill at any moment: safetensors and JSON, committed whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from qzoom.checkpoints.files import read_json, write_tensors
from qzoom.data.files import replacing
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
    notes: Mapping[str, Any] | None = None,
    *,
    writes: bool = True,
) -> None:
    """Write `folder/step-N` whole or not at all, then drop all others.

    Weights and momenta are written whole, so any number of processes may go on from them.

    Args:
        notes: What else to keep, as JSON; `read_notes` gives it back.
        writes: False in all but one of several processes, which only hand over their shards.

    Raises:
        OSError: When it cannot be written, such as to a full disk; the state before is kept.
    """
    tensors = {name: module.state_dict() for name, module in modules.items()}
    tensors[OPTIMIZERS] = optimizers.tensors()
    if not writes:
        for found in tensors.values():
            _own(found)
        return
    target, draft = folder / f"step-{step:08d}", folder / ".draft-state"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        for name, found in tensors.items():
            write_tensors(draft / f"{name}.safetensors", _own(found))
        with replacing(draft / MARKER) as file:
            file.write(json.dumps({"step": step, "notes": notes or {}}).encode())
        shutil.rmtree(target, ignore_errors=True)
        os.replace(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    _drop_others(folder, target)


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
        tensors = _read(path)
        try:
            _load(module, tensors, strict)
        except RuntimeError as error:
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
    _drop_others(folder, found[-1])
    load_modules(found[-1], modules)
    optimizers.load_tensors(_read(found[-1] / f"{OPTIMIZERS}.safetensors"))
    return step_of(found[-1])


def step_of(state: Path) -> int:
    """Steps that a committed state has seen."""
    return int(read_json(state / MARKER)["step"])


def read_notes(folder: Path) -> dict[str, Any]:
    """What was kept with the newest committed state; empty where there is none."""
    found = states(folder)
    notes: dict[str, Any] = read_json(found[-1] / MARKER).get("notes", {}) if found else {}
    return notes


def _drop_others(folder: Path, kept: Path) -> None:
    """Drop all states but one, those included that a killed run had begun to drop."""
    for other in folder.glob("step-*"):
        if other != kept:
            shutil.rmtree(other, ignore_errors=True)


def _read(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise CheckpointError(f"training state {path.parent} holds no {path.name}")
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"training state {path} is damaged: {error}; delete the folder to begin anew"
        ) from None


def _load(module: nn.Module, tensors: Mapping[str, torch.Tensor], strict: bool) -> None:
    held = module.state_dict()
    cut = {name: cut_like(t, held[name]) if name in held else t for name, t in tensors.items()}
    module.load_state_dict(cut, strict=strict)


def _own(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Whole tensors without shared memory, as safetensors requires; tied ones stored once each."""
    return {name: whole(value) for name, value in tensors.items()}
