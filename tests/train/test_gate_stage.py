"""Stage 3 on a tiny model: the gate alone learns which questions to look at again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.tiny import FAMILIES, Family
from tests.tiny_chat import LAYERS, chat_checkpoint, counting, picture
from tests.train.parts import moved, snapshot

from qzoom.errors import ConfigError
from qzoom.labels.tristate import IGNORE
from qzoom.train.gate_stage import GateLook, GateStage
from qzoom.train.loop import LoopSettings, run_stage
from qzoom.train.metrics import read_metrics
from qzoom.train.optim import OptimSettings
from qzoom.zoom.model import ZoomModel

SAMPLES = [
    GateLook("0.png", "what is that?", 1, (36, 36)),
    GateLook("1.png", "what is that?", 1),
    GateLook("0.png", "which word is on the red sign?", 0, (20, 20)),
    GateLook("1.png", "which word is on the red sign?", 0),
    GateLook("1.png", "how many signs are there?", IGNORE, (49, 49)),
]
SETTINGS = LoopSettings(
    steps=12,
    log_every=1,
    workers=0,
    bf16=False,
    optim=OptimSettings(muon_lr=0.0, adamw_lr=3e-3, warmup_steps=2, decay_steps=1),
)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    for seed in range(2):
        picture(240, 200 + 60 * seed, seed=seed).save(root / f"{seed}.png")
    return root


def model_of(family: Family, **fields: object) -> ZoomModel:
    return ZoomModel(chat_checkpoint(family, **fields))  # type: ignore[arg-type]


@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_gate_moves_and_it_learns(images: Path, tmp_path: Path, family: Family) -> None:
    model = model_of(family)
    add_on = model.parts.add_on
    assert add_on is not None
    assert add_on.gate is not None
    stage = GateStage(model, lambda step: SAMPLES, images)
    trunk, region = snapshot(model.checkpoint.trunk), snapshot(add_on.region)
    gate = snapshot(add_on.gate)
    run_stage(stage, stage.modules, SETTINGS, tmp_path)
    assert not moved(model.checkpoint.trunk, trunk)
    assert not moved(add_on.region, region)
    assert moved(add_on.gate, gate) == {name for name, _ in add_on.gate.named_parameters()}
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert lines[-1]["loss"] < 0.5 * lines[0]["loss"]
    assert lines[-1]["gate_right"] == 1.0


def test_the_trained_logit_is_the_sessions_probability(images: Path) -> None:
    model = model_of("qwen3_vl")
    stage = GateStage(model, lambda step: SAMPLES[1:2], images)
    loss, _ = stage.loss(stage.make_batch(0))
    answer = model.open(images / "1.png").ask(SAMPLES[1].question, max_new_tokens=1)
    assert answer.gate_probability is not None
    torch.testing.assert_close(
        float(loss.detach()), -float(torch.tensor(answer.gate_probability).log()), atol=1e-4, rtol=0
    )


def test_nothing_above_the_split_runs(images: Path) -> None:
    model = model_of("qwen3_vl")
    stage = GateStage(model, lambda step: SAMPLES, images)
    with counting(model) as counts:
        stage.loss(stage.make_batch(0))[0].backward()
    assert counts.trunk[model.parts.split :] == [0] * (LAYERS - model.parts.split)
    assert counts.region == [0] * 2


def test_a_model_without_a_gate(images: Path) -> None:
    with pytest.raises(ConfigError, match="no gate branch"):
        GateStage(model_of("qwen3_vl", gate=False), lambda step: SAMPLES, images)
