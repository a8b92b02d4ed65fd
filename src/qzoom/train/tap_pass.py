"""Prompts run to the tap and no further: trunk layers 1..B without gradients, then a branch.

Shapes: P prompts in B rows of N slots, H hidden size, C source cells of one prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qzoom.backbones.base import VisionFeatures
from qzoom.errors import ConfigError
from qzoom.zoom.branches import ZoomAddOn
from qzoom.zoom.parts import ModelParts
from qzoom.zoom.prompt import PromptLayout
from qzoom.zoom.region import region_keys, region_logits
from qzoom.zoom.uncached import UncachedRun, cell_rows


@dataclass(frozen=True)
class TapStates:
    """What leaves trunk layer B, detached, of shape `(B, N, H)`: the input of both branches."""

    run: UncachedRun
    hidden_bnh: Tensor


@torch.no_grad()
def tap_states(
    parts: ModelParts,
    layouts: Sequence[PromptLayout],
    features: Sequence[Sequence[VisionFeatures]],
) -> TapStates:
    """Run prompts of any lengths through trunk layers 1..B; nothing above is computed.

    Args:
        features: per prompt, its encoded images in order.
    """
    run = UncachedRun.of(parts, layouts, features)
    return TapStates(run, run.trunk(parts.split).detach())


def gate_logits(tap: TapStates, asking_p: Sequence[int]) -> Tensor:
    """Refine logits before the sigmoid, float32 of shape `(P,)` (eq. 3).

    Args:
        asking_p: per prompt, the slot that asks: the last one before the answer.

    Raises:
        ConfigError: When the model has no gate.
    """
    gate = _add_on(tap).gate
    if gate is None:
        raise ConfigError("the model has no gate branch to train; set enable_high_res")
    hidden = tap.run.through(gate.layers, tap.hidden_bnh)
    prompt_p, slot_p = torch.arange(len(asking_p)), torch.as_tensor(asking_p)
    logits: Tensor = gate.head(tap.run.states_at(prompt_p, slot_p, hidden))
    return logits[:, 0].float()


def region_map_logits(tap: TapStates, asking_pr: Sequence[Sequence[int]]) -> list[list[Tensor]]:
    """Raw maps of shape `(C,)`, one for each asking slot of each prompt (eq. 5, 13, 14).

    Args:
        asking_pr: per prompt, the slots that ask; several where a prompt holds several turns.
    """
    final = _add_on(tap).region.final
    hidden = tap.run.through(_add_on(tap).region.layers, tap.hidden_bnh)
    found = []
    for p, (layout, asking) in enumerate(zip(tap.run.layouts, asking_pr, strict=True)):
        states_nh, (cos, sin) = tap.run.states_of(p, hidden), tap.run.rotary_of(p)
        cells = cell_rows(layout).to(states_nh.device)
        at_cells, at_first = (cos[:, cells], sin[:, cells]), (cos[:, :1], sin[:, :1])
        keys = region_keys(final, states_nh[cells], at_cells, states_nh[0], at_first, rule="none")
        maps = []
        for row in asking:
            at_row = (cos[:, row : row + 1], sin[:, row : row + 1])
            maps.append(region_logits(final, states_nh[row], at_row, keys))
        found.append(maps)
    return found


def _add_on(tap: TapStates) -> ZoomAddOn:
    add_on = tap.run.parts.add_on
    if add_on is None:
        raise ConfigError("a plain backbone has no branches to train")
    return add_on
