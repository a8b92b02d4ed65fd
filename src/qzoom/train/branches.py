"""Pre-training stage 3: gate and region network on the frozen trunk, from the drawn truth.

Labels come from the procedural world itself: the cells that hold the answer's ink, and whether its
print is too small for the coarse view.
"""

from __future__ import annotations

from random import Random
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast, Qwen3VLForConditionalGeneration

from qzoom.backbones.base import rotate
from qzoom.synth.canvas import Question
from qzoom.synth.window_labels import CELL_PX, IGNORE
from qzoom.synth.world import make_scene
from qzoom.train.grounding import ink_cells
from qzoom.train.loader import Batch
from qzoom.train.packed_run import PackedRun
from qzoom.train.packing import Tokens, encode_turn, pad_texts
from qzoom.train.pixels import patches_uint8
from qzoom.train.views import ViewMix, ViewPlan, choose, resize_to_budget
from qzoom.zoom.branches import ZoomAddOn, trunk_source

GATE_SMALL_UNITS: Final = 9.0
"""Em size in coarse units below which print counts as too small for the coarse view."""


class BranchStage:
    """Coarse looks at whole scenes; binary cross-entropy of both branches."""

    name = "branches"

    def __init__(
        self,
        model: Qwen3VLForConditionalGeneration,
        add_on: ZoomAddOn,
        tokenizer: PreTrainedTokenizerFast,
        seed: int,
        mix: ViewMix,
        split_layer: int,
    ) -> None:
        self.model = model.requires_grad_(False)
        self.add_on, self.tokenizer = add_on, tokenizer
        self.seed, self.mix, self.split_layer = seed, mix, split_layer
        self.tokens = Tokens.of(tokenizer)

    def make_batch(self, step: int) -> Batch:
        """Views of one shape with all kinds of questions, readable or not."""
        rng = Random(f"branches/{self.seed}/{step}")
        plan = self.mix.plan(rng)
        scenes = [make_scene(rng, size_px=plan.canvas_px) for _ in range(plan.images)]
        asked = [choose(rng, scene.questions, plan.groups) for scene in scenes]
        turns = [[encode_turn(self.tokenizer, q.text, q.answer) for q in row] for row in asked]
        ids, labels = pad_texts(turns, self.tokens.pad)
        images = [resize_to_budget(scene.image, plan.max_cells) for scene in scenes]
        grid = (images[0].height // CELL_PX, images[0].width // CELL_PX)
        targets = [[cell_targets(q, plan, grid) for q in row] for row in asked]
        return {
            "source": np.stack([patches_uint8(image) for image in images]),
            "source_hw": np.array(grid),
            "ids": ids.numpy(),
            "labels": labels.numpy(),
            "cells": np.array(targets),
            "small": np.array([[needs_zoom(q) for q in row] for row in asked], np.float32),
        }

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Gate and region losses, and how often each is right."""
        with torch.no_grad():
            run = PackedRun(self.model, self.tokens, batch)
            tap = run.trunk(self.split_layer)
        asking_bg = (run.labels != IGNORE).int().argmax(-1)
        gate = self._gate_logits(run, tap, asking_bg)
        maps = region_maps(self.add_on, run, tap, asking_bg)
        small, cells = torch.as_tensor(batch["small"]), torch.as_tensor(batch["cells"])
        gate_loss = F.binary_cross_entropy_with_logits(gate, small)
        known = cells != IGNORE
        region_loss = F.binary_cross_entropy_with_logits(maps[known], cells[known].float())
        if not bool(known.any()):
            region_loss = 0.0 * maps.sum()  # the mean over no cell is not a number
        metrics = {
            "gate_loss": float(gate_loss.detach()),
            "region_loss": float(region_loss.detach()),
            "gate_right": float(((gate > 0) == (small > 0.5)).float().mean()),
            "peak_inside": _peak_inside(maps, cells),
        }
        return gate_loss + region_loss, metrics

    def _gate_logits(self, run: PackedRun, tap: Tensor, asking_bg: Tensor) -> Tensor:
        assert self.add_on.gate is not None
        hidden = run.through(self.add_on.gate.layers, tap)
        logits: Tensor = self.add_on.gate.head(_at(run.text_rows(hidden), asking_bg))
        return logits[..., 0].float()


def region_maps(add_on: ZoomAddOn, run: PackedRun, tap: Tensor, asking_bg: Tensor) -> Tensor:
    """Raw maps of shape `(batch, groups, cells)`: mean over heads of q . k / sqrt(D) (eq. 5)."""
    head = add_on.region.final
    hidden = run.through(add_on.region.layers, tap)
    cos, sin = run.rotary
    cells = run.source_hw[0] * run.source_hw[1]
    first, last = run.prefix - cells, run.prefix
    keys = rotate(head.keys(run.source_rows(hidden)), (cos[:, first:last], sin[:, first:last]))
    queries = rotate(
        head.queries(_at(run.text_rows(hidden), asking_bg)),
        (_at(run.text_rows(cos), asking_bg), _at(run.text_rows(sin), asking_bg)),
    )
    batch, _, groups, width = queries.shape
    shared = queries.reshape(batch, keys.shape[1], -1, groups, width).mean(2)
    scores = torch.einsum("bkgd,bkcd->bgc", shared.float(), keys.float()) / keys.shape[1]
    return scores * head.scaling


def _at(rows_bglx: Tensor, index_bg: Tensor) -> Tensor:
    """Row `index` of each group, of shape `(batch, groups, width)`."""
    index = index_bg[..., None, None].expand(-1, -1, 1, rows_bglx.shape[-1])
    return rows_bglx.gather(2, index)[:, :, 0]


def cell_targets(
    question: Question, plan: ViewPlan, grid_hw: tuple[int, int]
) -> np.ndarray[Any, Any]:
    """1 for cells with the answer's ink, 0 elsewhere, of shape `(cells,)`; all ignored without."""
    if question.box_px_xyxy is None:
        return np.full(grid_hw[0] * grid_hw[1], IGNORE)
    return ink_cells(question, (0, 0, *plan.canvas_px), grid_hw).astype(np.int64)


def needs_zoom(question: Question) -> bool:
    """Whether the answer's print is too small for the coarse view."""
    return question.size_units is not None and question.size_units < GATE_SMALL_UNITS


def init_from_trunk(add_on: ZoomAddOn, layers: nn.ModuleList, split_layer: int) -> None:
    """Copy trunk layers B+1..B+R into both branches; the head starts at zero."""
    depth = len(add_on.region.layers) + 1
    copy_trunk_layers(add_on.region, layers, split_layer, depth)
    if add_on.gate is not None:
        copy_trunk_layers(add_on.gate, layers, split_layer, depth)
        nn.init.zeros_(add_on.gate.head.weight)
        nn.init.zeros_(add_on.gate.head.bias)


@torch.no_grad()
def copy_trunk_layers(
    branch: nn.Module, layers: nn.ModuleList, split_layer: int, depth: int
) -> None:
    """Copy trunk layers B+1..B+R into one branch; a head stays as it is."""
    for name, tensor in branch.state_dict().items():
        if source := trunk_source(name, depth):
            tensor.copy_(layers[split_layer + source[0]].get_parameter(source[1]))


def _peak_inside(maps: Tensor, cells: Tensor) -> float:
    known = cells[..., 0] != IGNORE
    peaks = maps.argmax(-1, keepdim=True)
    return float(cells.gather(-1, peaks)[..., 0][known].float().mean())
