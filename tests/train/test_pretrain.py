"""The whole pre-training in a few steps: from nothing to a model that loads and answers."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
import torch
import yaml
from tests.train.parts import make_add_on, make_model, snapshot, tokenizer

import qzoom
from qzoom.cli.train import STAGES as CLI_STAGES
from qzoom.data.readers.synth import write_scenes
from qzoom.errors import CheckpointError, ConfigError
from qzoom.synth.world import scene_of
from qzoom.train.export import checkpoint_of, export
from qzoom.train.metrics import read_metrics
from qzoom.train.pretrain import STAGES, main
from qzoom.train.recipe import ZoomRecipe
from qzoom.zoom.answer import GenerateOutput
from qzoom.zoom.chat import question_ids
from qzoom.zoom.model import ZoomModel

RECIPE = """
seed: 3
cells: {steps: 2, batch_size: 12, side: 2}
sizes: {steps: 2, batch_size: 12, side: 2}
questions: {steps: 2, windows: 1, mix: {spot: 1, coarse: 0, double: 0, full: 0, zoom: 0,
  cells_per_batch: 16}}
budgets: {steps: 2, windows: 0, freeze_tower: true, mix: {coarse: 1, double: 0, full: 0, zoom: 0,
  cells_per_batch: 64}}
branches: {steps: 2, mix: {coarse: 1, double: 0, full: 0, zoom: 0, cells_per_batch: 64}}
zoom: {gate_threshold: 0.4, roi_threshold: 0.2}
"""


def arguments(folder: Path, stage: str = "all") -> argparse.Namespace:
    recipe = folder / "small.yaml"
    pages = folder / "pages"
    source = {"records": str(write_scenes(pages, 3, "pages")), "images": str(pages)}
    documents = {
        "steps": 2,
        "sources": [source],
        "share": 1.0,
        "pages": {"window": 1.0, "zoom": 0.0, "full": 0.0, "cells_per_batch": 24},
    }
    recipe.write_text(RECIPE + yaml.safe_dump({"documents": documents}))
    out = folder / "out"
    return argparse.Namespace(
        recipe=recipe, out=out, stage=stage, workers=0, threads=None, init=None
    )


def details(model: ZoomModel) -> GenerateOutput:
    """One prompt through gate, region, crop and the first two tokens."""
    image = scene_of(1).image
    grid = model.pipeline.grid_thw_for_size(image.size)
    ids = question_ids(
        tokenizer(), "what is the total?", [(grid[1] // 2, grid[2] // 2)], model.parts.ids.image
    )
    out = model.generate(
        ids[None],
        images=[image],
        max_new_tokens=2,
        gate_threshold=0.0,
        roi_threshold=0.0,
        return_details=True,
    )
    assert isinstance(out, GenerateOutput)
    return out


def test_all_stages_make_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = arguments(tmp_path)
    assert main(args) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{args.out / 'qzoom-tiny'}\n"
    for stage in STAGES[:-1]:
        assert f"{stage} 2/2 loss " in printed.err
        assert [line["step"] for line in read_metrics(args.out / stage / "metrics.jsonl")] == [2]
        assert (args.out / stage / "step-00000002" / "COMMITTED.json").is_file()
    assert json.loads((args.out / "recipe.json").read_text())["zoom"]["gate_threshold"] == 0.4
    model = qzoom.load(args.out / "qzoom-tiny")
    assert model.dtype == torch.bfloat16
    assert model.config.gate_threshold == 0.4
    assert model.config.roi_threshold == 0.2
    assert model.config.align_roi_positions
    assert model.pipeline.max_pixels == 64 * 32**2
    trunk = qzoom.load(args.out / "trunk")
    assert not trunk.config.enabled
    assert trunk.pipeline == model.pipeline
    wanted = model.checkpoint.trunk.state_dict()
    assert all(torch.equal(v, wanted[k]) for k, v in trunk.checkpoint.trunk.state_dict().items())
    answer = model.open(scene_of(0).image).ask("what is the total?", max_new_tokens=3)
    assert 1 <= len(answer.token_ids) <= 3
    # Again: every stage is done, and the export is replaced.
    assert main(args) == 0
    assert capsys.readouterr().err.count("all 2 steps are done") == 6


def test_a_stage_needs_the_one_before(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="sizes holds no state; run --stage sizes first"):
        main(arguments(tmp_path, "questions"))


def test_unknown_stages_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown stage 'gate'; known: all, cells"):
        main(arguments(tmp_path, "gate"))


def test_the_command_line_offers_these_stages() -> None:
    assert ("all", *STAGES) == CLI_STAGES


def test_an_export_loads_with_the_numbers_that_were_trained(tmp_path: Path) -> None:
    model = make_model(seed=4)
    add_on, recipe = make_add_on(model), ZoomRecipe()
    before, add_on_before = snapshot(model), snapshot(add_on)
    folder = export(tmp_path / "tiny", model, add_on, tokenizer(), recipe)
    loaded = qzoom.load(folder)
    # The trained modules themselves keep their type and numbers.
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    trunk = loaded.checkpoint.trunk.state_dict()
    for name, value in before.items():
        # The engine holds the patch embedding under the same names.
        assert torch.equal(trunk[name], value.to(torch.bfloat16)), name
    assert loaded.checkpoint.add_on is not None
    branches = loaded.checkpoint.add_on.state_dict()
    assert branches.keys() == add_on_before.keys()
    for name, value in add_on_before.items():
        assert torch.equal(branches[name], value.to(torch.bfloat16)), name
    for parameter in (*model.parameters(), *add_on.parameters()):
        parameter.data = parameter.data.to(torch.bfloat16)
    rounded = checkpoint_of(model, add_on, tokenizer(), recipe, "trained")
    mine, theirs = details(ZoomModel(rounded)), details(loaded)
    assert mine.zoomed == theirs.zoomed == [True]
    assert mine.gate_probability == theirs.gate_probability
    assert mine.roi_box_cells == theirs.roi_box_cells
    torch.testing.assert_close(mine.logits, theirs.logits, atol=0, rtol=0)
    assert loaded.config == ZoomModel(rounded).config
    eos = loaded.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert loaded.checkpoint.generation_config.eos_token_id == eos
    assert loaded.tokenizer("Red SIGN 42").input_ids == tokenizer()("Red SIGN 42").input_ids


def test_a_stage_starts_from_an_exported_model(tmp_path: Path) -> None:
    first = arguments(tmp_path)
    assert main(first) == 0
    again = arguments(tmp_path, "questions")
    again.init, again.out = first.out / "qzoom-tiny", tmp_path / "again"
    assert main(again) == 0
    assert (again.out / "questions" / "step-00000002" / "COMMITTED.json").is_file()


def test_the_first_stage_starts_from_nothing(tmp_path: Path) -> None:
    args = arguments(tmp_path, "cells")
    args.init = tmp_path
    with pytest.raises(ConfigError, match="--init replaces the stage before"):
        main(args)
