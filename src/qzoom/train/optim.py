"""Optimisers: Muon for the matrices inside blocks, AdamW for everything else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW, Optimizer

from qzoom.errors import CheckpointError
from qzoom.train.parallel import cut_like, whole

Schedule = Literal["plateau", "cosine"]


@dataclass(frozen=True)
class OptimSettings:
    """Learning rates and their course; warm-up and decay are counted in steps.

    muon_lr: 0 leaves every parameter to AdamW.
    schedule: "plateau" holds the rates and lets them fall linearly over the last `decay_steps`;
        "cosine" lets them fall along half a cosine from the warm-up to the end.
    tower_scale: share of the learning rates that the vision tower gets.
    """

    muon_lr: float = 0.02
    adamw_lr: float = 2e-3
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    warmup_steps: int = 50
    decay_steps: int = 500
    schedule: Schedule = "plateau"
    max_grad_norm: float = 1.0
    tower_scale: float = 1.0


class OptimizerPair:
    """Muon and AdamW over disjoint parameters, driven as one."""

    def __init__(self, named: Mapping[str, nn.Parameter], settings: OptimSettings) -> None:
        self.settings = settings
        self.named = {name: p for name, p in named.items() if p.requires_grad}
        self.parts: dict[str, Optimizer] = {}
        decay = settings.weight_decay
        if matrices := self._groups(block_matrices=True):
            self.parts["muon"] = torch.optim.Muon(
                matrices, lr=settings.muon_lr, weight_decay=decay, adjust_lr_fn="original"
            )
        if others := self._groups(block_matrices=False):
            self.parts["adamw"] = AdamW(
                others, lr=settings.adamw_lr, betas=settings.betas, weight_decay=decay
            )

    def _groups(self, *, block_matrices: bool) -> list[dict[str, Any]]:
        """Parameter groups with their share of the learning rate, none of them empty."""
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in self.named.items():
            by_muon = self.settings.muon_lr > 0 and _is_block_matrix(name, parameter)
            if by_muon == block_matrices:
                scale = self.settings.tower_scale if ".visual." in name else 1.0
                groups.setdefault(scale, []).append(parameter)
        return [{"params": members, "scale": scale} for scale, members in groups.items()]

    def step(self, step: int, total_steps: int, gradient_scale: float = 1.0) -> float:
        """Clip, set the learning rates for this step, update and clear the gradients.

        Args:
            gradient_scale: what the gradients are multiplied by first.

        Returns:
            The gradient's norm before clipping; where it is not finite, nothing was updated.
        """
        self._scale(gradient_scale)
        clipped = clip_grad_norm_(list(self.named.values()), self.settings.max_grad_norm)
        norm = float(whole(clipped))
        if not math.isfinite(norm):
            return norm
        fraction = schedule(step, total_steps, self.settings)
        for name, part in self.parts.items():
            base = self.settings.muon_lr if name == "muon" else self.settings.adamw_lr
            for group in part.param_groups:
                group["lr"] = base * fraction * group["scale"]
            part.step()
            part.zero_grad()
        return norm

    def _scale(self, factor: float) -> None:
        if factor == 1.0:
            return
        for parameter in self.named.values():
            if parameter.grad is not None:
                parameter.grad.mul_(factor)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Every state tensor, named by part, parameter and state."""
        names = {id(p): name for name, p in self.named.items()}
        return {
            f"{part}/{names[id(parameter)]}/{key}": value
            for part, optimizer in self.parts.items()
            for parameter, state in optimizer.state.items()
            for key, value in state.items()
            if isinstance(value, torch.Tensor)
        }

    def load_tensors(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Put back what `tensors` returned.

        Raises:
            CheckpointError: when they belong to parameters that are not trained here.
        """
        for key, value in tensors.items():
            part, name, state = key.split("/")
            if part not in self.parts or name not in self.named:
                raise CheckpointError(f"the state trained {name} with {part}; this recipe does not")
            parameter = self.named[name]
            self.parts[part].state[parameter][state] = cut_like(value.clone(), parameter)


def schedule(step: int, total_steps: int, settings: OptimSettings) -> float:
    """Share of the base learning rate: a linear warm-up, then the course the settings name."""
    rise = (step + 1) / max(1, settings.warmup_steps)
    if settings.schedule == "cosine":
        way = (step - settings.warmup_steps) / max(1, total_steps - settings.warmup_steps)
        return min(1.0, rise, 0.5 + 0.5 * math.cos(math.pi * min(1.0, max(0.0, way))))
    fall = (total_steps - step) / max(1, settings.decay_steps)
    return max(0.0, min(1.0, rise, fall))


def _is_block_matrix(name: str, parameter: nn.Parameter) -> bool:
    outside = ("embed", "lm_head", "heads.", "head.", "merger")
    return parameter.ndim == 2 and not any(part in name for part in outside)
