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

MARKER = "COMMITTED.json"


def save_state(
    folder: Path,
    step: int,
    modules: Mapping[str, nn.Module],
    optimizers: OptimizerPair,
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Write `folder/step-N` whole or not at all, then drop all others.

    Args:
        notes: What else to keep, as JSON; `read_notes` gives it back.

    Raises:
        OSError: When it cannot be written, such as to a full disk; the state before is kept.
    """
    target, draft = folder / f"step-{step:08d}", folder / ".draft-state"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        for name, module in modules.items():
            write_tensors(draft / f"{name}.safetensors", _own(module.state_dict()))
        write_tensors(draft / "optimizers.safetensors", _own(optimizers.tensors()))
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
            module.load_state_dict(tensors, strict=strict)
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
    optimizers.load_tensors(_read(found[-1] / "optimizers.safetensors"))
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


def _own(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors without shared memory, as safetensors requires; tied ones stored once each."""
    return {name: value.detach().clone().contiguous() for name, value in tensors.items()}
