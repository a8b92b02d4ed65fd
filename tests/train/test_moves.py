"""Which weights each stage moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.train.parts import (
    make_add_on,
    make_heads,
    make_model,
    moved,
    only,
    snapshot,
    tokenizer,
)

from qzoom.train.branches import BranchStage
from qzoom.train.cells import CellStage
from qzoom.train.loop import LoopSettings, run_stage
from qzoom.train.questions import QuestionStage, freeze_tower
from qzoom.train.tiny import SPLIT_LAYER

THREE_STEPS = LoopSettings(steps=3, workers=0, bf16=False)


def test_cells_move_the_tower_and_the_heads(tmp_path: Path) -> None:
    model = make_model()
    heads, visual = make_heads(model), model.model.visual
    before, heads_before = snapshot(model), snapshot(heads)
    stage = CellStage(visual, heads, 0, batch_size=4, side=2)
    run_stage(stage, {"visual": visual, "heads": heads}, THREE_STEPS, tmp_path)
    names = moved(model, before)
    assert all(name.startswith("model.visual.") for name in names)
    # Nothing reads the deepstack mergers here.
    tower = {name for name in before if name.startswith("model.visual.")}
    assert names == {name for name in tower if "deepstack" not in name}
    assert moved(heads, heads_before) == set(heads_before)


@pytest.mark.parametrize("frozen", [False, True])
def test_questions_move_the_decoder_and_as_much_of_the_tower_as_asked(
    tmp_path: Path, frozen: bool
) -> None:
    model = make_model()
    heads, visual = make_heads(model), model.model.visual
    if frozen:
        freeze_tower(visual)
    before, heads_before = snapshot(model), snapshot(heads)
    stage = QuestionStage(model, tokenizer(), None, 0, only("spot", 32))
    run_stage(stage, {"model": model, "heads": heads}, THREE_STEPS, tmp_path)
    names = moved(model, before)
    kept = set(before) - names
    if frozen:
        assert kept == {name for name in before if ".visual." in name and "merger" not in name}
    else:
        assert kept == set()
    # Without reading windows nothing teaches the heads.
    assert moved(heads, heads_before) == set()


def test_branches_move_the_add_on_alone(tmp_path: Path) -> None:
    model: Any = make_model()
    add_on = make_add_on(model)
    before, add_on_before = snapshot(model), snapshot(add_on)
    stage = BranchStage(model, add_on, tokenizer(), 0, only("coarse", 64), SPLIT_LAYER)
    run_stage(stage, {"add_on": add_on}, THREE_STEPS, tmp_path)
    assert moved(model, before) == set()
    assert moved(add_on, add_on_before) == set(add_on_before)
    assert all(parameter.grad is None for parameter in model.parameters())
