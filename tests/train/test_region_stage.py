"""Stage 1 on a tiny model: what moves, what runs, that it learns and that it resumes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.tiny import FAMILIES, Family
from tests.tiny_chat import LAYERS, chat_checkpoint, counting, recording_logits
from tests.train.parts import moved, snapshot

from qzoom.errors import CheckpointError, ConfigError
from qzoom.train.label_index import Dialogue, LabelIndex
from qzoom.train.loader import Batch
from qzoom.train.loop import LoopSettings, run_stage
from qzoom.train.metrics import read_metrics
from qzoom.train.optim import OptimSettings
from qzoom.train.region_stage import RegionStage
from qzoom.zoom.chat import dialogue_ids
from qzoom.zoom.model import ZoomModel


def fresh_model(family: Family = "qwen3_vl", **fields: object) -> ZoomModel:
    return ZoomModel(chat_checkpoint(family, eos=None, **fields))  # type: ignore[arg-type]


def stage_on(root: Path, family: Family = "qwen3_vl", turns: int = 1) -> RegionStage:
    index = LabelIndex.open(root / "labels", turns)
    return RegionStage(fresh_model(family), index, root, batch_size=3, seed=1)


def settings(steps: int) -> LoopSettings:
    optim = OptimSettings(adamw_lr=3e-3, muon_lr=1e-2, warmup_steps=2, decay_steps=1)
    return LoopSettings(steps=steps, save_every=4, log_every=1, workers=0, bf16=False, optim=optim)


@pytest.mark.parametrize("turns", [1, 2])
@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_region_branch_moves_and_the_loss_falls(
    labelled: Path, tmp_path: Path, family: Family, turns: int
) -> None:
    index = LabelIndex.open(labelled / "labels", turns)
    model = fresh_model(family)
    stage = RegionStage(model, index, labelled, batch_size=3, seed=1)
    add_on = model.parts.add_on
    assert add_on is not None
    kept = {"trunk": model.checkpoint.trunk, "gate": add_on.gate}
    before = {name: snapshot(module) for name, module in kept.items()}  # type: ignore[arg-type]
    region = snapshot(add_on.region)
    run_stage(stage, stage.modules, settings(10), tmp_path)
    for name, module in kept.items():
        assert not moved(module, before[name]), name  # type: ignore[arg-type]
    assert moved(add_on.region, region) == {name for name, _ in add_on.region.named_parameters()}
    losses = [line["loss"] for line in read_metrics(tmp_path / "metrics.jsonl")]
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])


def test_nothing_above_the_split_runs(labelled: Path) -> None:
    model = fresh_model()
    stage = RegionStage(model, LabelIndex.open(labelled / "labels"), labelled, 3, seed=1)
    batch = stage.make_batch(0)
    with counting(model) as counts, recording_logits(model) as logits:
        loss, _ = stage.loss(batch)
        loss.backward()
    split, rows = model.parts.split, 3 * int(batch["lengths"].max())
    assert counts.images == 3
    # Every layer once, over all rows; of the branch's last layer the keys of the cells alone.
    assert counts.trunk == [rows // 3] * split + [0] * (LAYERS - split)
    assert counts.region == [rows // 3] * 2
    assert counts.region_cells == int(batch["label_hw"].prod(-1).sum())
    assert counts.gate == [0] * 3
    assert logits == []


def test_no_gradient_reaches_the_trunk(labelled: Path) -> None:
    model = fresh_model()
    stage = RegionStage(model, LabelIndex.open(labelled / "labels"), labelled, 3, seed=1)
    graded: list[bool] = []
    backbone: Any = model.parts.backbone
    for module in (*backbone.visual.blocks, *backbone.layers):
        module.register_forward_hook(lambda _, __, out: graded.append(_first(out).requires_grad))
    loss, _ = stage.loss(stage.make_batch(0))
    loss.backward()
    assert len(graded) == len(backbone.visual.blocks) + model.parts.split
    assert not any(graded)
    add_on = model.parts.add_on
    assert add_on is not None
    assert add_on.gate is not None
    frozen = [*model.checkpoint.trunk.parameters(), *add_on.gate.parameters()]
    assert all(parameter.grad is None for parameter in frozen)
    assert all(parameter.grad is not None for parameter in add_on.region.parameters())


def _first(out: Any) -> torch.Tensor:
    found: torch.Tensor = out[0] if isinstance(out, tuple) else out
    return found


def ids_of(stage: RegionStage, dialogue: Dialogue) -> tuple[torch.Tensor, list[int]]:
    turns = [(turn.question, turn.response) for turn in dialogue]
    return dialogue_ids(stage.tokenizer, turns, [(4, 5)], stage.parts.ids.image)


def test_the_first_turn_of_a_dialogue_is_the_single_turn(labelled: Path) -> None:
    single, both = stage_on(labelled, turns=1), stage_on(labelled, turns=2)
    assert single.index.turns == both.index.turns == 8
    assert len(both.index.dialogues) == 4
    dialogue = both.index.dialogues[0]
    alone, rows_alone = ids_of(single, dialogue[:1])
    long, rows_long = ids_of(both, dialogue)
    assert rows_long[0] == rows_alone[0]
    assert torch.equal(long[: rows_alone[0] + 1], alone[: rows_alone[0] + 1])
    assert rows_long[1] > rows_long[0]


class Stopping(RegionStage):
    """Ends before step 5, once a state has been saved."""

    def make_batch(self, step: int) -> Batch:
        if step == 5:
            raise RuntimeError("stopped")
        return super().make_batch(step)


def test_a_stopped_training_goes_on_with_the_same_losses(labelled: Path, tmp_path: Path) -> None:
    whole = stage_on(labelled)
    run_stage(whole, whole.modules, settings(8), tmp_path / "whole")
    half = Stopping(fresh_model(), whole.index, labelled, batch_size=3, seed=1)
    with pytest.raises(RuntimeError, match="stopped"):
        run_stage(half, half.modules, settings(8), tmp_path / "parts")
    rest = stage_on(labelled)
    run_stage(rest, rest.modules, settings(8), tmp_path / "parts")
    losses = [
        [line["loss"] for line in read_metrics(tmp_path / name / "metrics.jsonl")]
        for name in ("whole", "parts")
    ]
    assert len(losses[0]) == 8
    assert losses[0] == losses[1]


def test_every_dialogue_comes_once_an_epoch(labelled: Path) -> None:
    index = LabelIndex.open(labelled / "labels")
    epoch = [d for step in range(4) for d in index.batch(step, 2, seed=5)]
    assert {d[0].id for d in epoch} == {d[0].id for d in index.dialogues}
    other = [d for step in range(4, 8) for d in index.batch(step, 2, seed=5)]
    assert {d[0].id for d in other} == {d[0].id for d in index.dialogues}
    assert [d[0].id for d in other] != [d[0].id for d in epoch]
    again = [d for step in range(4) for d in index.batch(step, 2, seed=5)]
    assert again == epoch


def test_folders_of_labels_are_one_set(labelled: Path, tmp_path: Path) -> None:
    folder, copy = labelled / "labels", tmp_path / "copy"
    shutil.copytree(folder, copy)
    once = LabelIndex.open(folder, turns=2)
    both = LabelIndex.merged([folder, copy], turns=2)
    assert both.settings == once.settings
    assert both.dialogues[: len(once.dialogues)] == once.dialogues
    assert both.turns == 2 * once.turns
    settings = copy / "settings.json"
    other = json.loads(settings.read_text())
    cells = other["cells"]
    other["cells"] = 4 * cells
    settings.write_text(json.dumps(other))
    with pytest.raises(CheckpointError, match=f"{4 * cells} cells, .* {cells}; label both alike"):
        LabelIndex.merged([folder, copy])


def test_what_cannot_be_trained_says_so(labelled: Path, tmp_path: Path) -> None:
    index = LabelIndex.open(labelled / "labels")
    with pytest.raises(ConfigError, match="plain backbone"):
        RegionStage(fresh_model(region=False), index, labelled, 2, 0)
    rows = labelled / "labels" / "shard-00000.jsonl"
    (tmp_path / rows.name).write_text(
        "".join(
            json.dumps({**json.loads(line), "teaches": False}) + "\n"
            for line in rows.read_text().splitlines()
        )
    )
    with pytest.raises(CheckpointError, match="no label that teaches"):
        LabelIndex.open(tmp_path)
