"""The branch stage computes what the engine will compute, and teaches the drawn truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.train.parts import make_add_on, make_model, only, prompt_of, tokenizer, tokens
from torch import nn

from qzoom.synth.canvas import Question
from qzoom.synth.window_labels import IGNORE
from qzoom.train.branches import (
    BranchStage,
    cell_targets,
    init_from_trunk,
    needs_zoom,
    region_maps,
)
from qzoom.train.export import checkpoint_of
from qzoom.train.packed_run import PackedRun
from qzoom.train.recipe import ZoomRecipe
from qzoom.train.tiny import SPLIT_LAYER
from qzoom.train.views import ViewPlan
from qzoom.zoom.answer import GenerateOutput
from qzoom.zoom.model import ZoomModel


@pytest.mark.parametrize("step", [0, 1])
def test_maps_and_gate_are_the_engines(step: int) -> None:
    model: Any = make_model(seed=step)
    add_on = make_add_on(model, seed=step + 10)
    stage = BranchStage(model, add_on, tokenizer(), 0, only("coarse", 128), SPLIT_LAYER)
    batch = stage.make_batch(step)
    with torch.no_grad():
        run = PackedRun(model, tokens(), batch)
        tap = run.trunk(SPLIT_LAYER)
        asking = (run.labels != IGNORE).int().argmax(-1)
        maps = region_maps(add_on, run, tap, asking)
        gates = stage._gate_logits(run, tap, asking).sigmoid()
    engine = ZoomModel(checkpoint_of(model, add_on, tokenizer(), ZoomRecipe(), "test"))
    images, groups, _ = batch["ids"].shape
    for image, group in ((0, 0), (images - 1, groups - 1)):
        prompt = prompt_of(batch, image, group)
        out = engine.generate(
            prompt.input_ids[None, : prompt.asked],
            images=[prompt.image],
            max_new_tokens=1,
            gate_threshold=0.0,
            roi_threshold=0.0,
            return_details=True,
        )
        assert isinstance(out, GenerateOutput)
        assert out.gate_probability[0] == pytest.approx(float(gates[image, group]), abs=1e-4)
        logits = out.roi_logits[0]
        assert logits is not None
        assert logits.shape == prompt.source_hw
        torch.testing.assert_close(maps[image, group], logits.flatten(), atol=1e-4, rtol=1e-4)
        assert maps[image, group].std() > 0.01


def test_branches_begin_as_the_trunks_own_layers() -> None:
    model: Any = make_model()
    add_on = make_add_on(model)
    layers = model.model.language_model.layers
    init_from_trunk(add_on, layers, SPLIT_LAYER)
    assert add_on.gate is not None

    def same(branch: nn.Module, layer: nn.Module) -> bool:
        wanted = layer.state_dict()
        return all(torch.equal(value, wanted[name]) for name, value in branch.state_dict().items())

    for index, gate_layer in enumerate(add_on.gate.layers):
        assert same(gate_layer, layers[SPLIT_LAYER + index])
    for index, region_layer in enumerate(add_on.region.layers):
        assert same(region_layer, layers[SPLIT_LAYER + index])
    final, last = add_on.region.final, layers[SPLIT_LAYER + 2]
    assert same(final.input_layernorm, last.input_layernorm)
    for name in ("q_proj", "k_proj", "q_norm", "k_norm"):
        assert same(getattr(final, name), getattr(last.self_attn, name))
    assert not add_on.gate.head.weight.any()
    assert not add_on.gate.head.bias.any()
    # Copies: what the branch learns must not reach the trunk.
    shared = {p.data_ptr() for p in model.parameters()} & {
        p.data_ptr() for p in add_on.parameters()
    }
    assert not shared


def asked(box: tuple[float, float, float, float] | None, size: float | None = 5.0) -> Question:
    return Question("what word is on the red sign?", "owl", "sign_word", box, size)


@pytest.mark.parametrize(
    ("box", "cells"),
    [
        ((0, 0, 64, 64), [(0, 0)]),
        ((0, 0, 65, 64), [(0, 0), (0, 1)]),
        ((60, 100, 130, 140), [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]),
        ((500, 500, 512, 512), [(7, 7)]),
    ],
)
def test_targets_are_the_cells_with_ink(box: Any, cells: list[tuple[int, int]]) -> None:
    target = cell_targets(asked(box), ViewPlan((512, 512), 64, 1, 1), (8, 8)).reshape(8, 8)
    assert target.dtype == np.int64
    assert [tuple(place) for place in np.argwhere(target).tolist()] == cells


def test_questions_without_a_place_teach_no_region() -> None:
    target = cell_targets(asked(None), ViewPlan((512, 512), 64, 1, 1), (2, 3))
    assert target.tolist() == [IGNORE] * 6


def test_a_batch_without_places_has_a_loss() -> None:
    model: Any = make_model()
    stage = BranchStage(model, make_add_on(model), tokenizer(), 0, only("coarse", 64), SPLIT_LAYER)
    batch = stage.make_batch(0)
    loss, metrics = stage.loss({**batch, "cells": np.full_like(batch["cells"], IGNORE)})
    assert float(loss.detach()) == pytest.approx(metrics["gate_loss"])
    assert metrics["region_loss"] == 0.0


@pytest.mark.parametrize(("size", "small"), [(4.0, True), (8.9, True), (9.0, False), (None, False)])
def test_small_print_needs_a_closer_look(size: float | None, small: bool) -> None:
    assert needs_zoom(asked((0, 0, 5, 5), size)) is small
