"""A model is immutable: use changes nothing on it, budgets share its weights, saving keeps all."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.tiny import FAMILIES
from tests.tiny_chat import ANY_REGION, chat_checkpoint, chat_model, picture, recording_logits

import qzoom
from qzoom.errors import ConfigError, PromptError
from qzoom.images.pipeline import ImagePipeline
from qzoom.zoom.model import ZoomModel

LONG: dict[str, Any] = {"max_new_tokens": 4, "eos_token_id": []}


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest) -> ZoomModel:
    return chat_model(request.param)


def weights(model: ZoomModel) -> dict[str, torch.Tensor]:
    modules = [("trunk", model.checkpoint.trunk), ("add_on", model.checkpoint.add_on)]
    return {
        f"{part}.{name}": tensor
        for part, module in modules
        if module is not None
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]
    }


def attributes(model: ZoomModel) -> dict[str, Any]:
    """What hangs on the model and on its modules, besides tensors and modules."""
    trunk: Any = model.checkpoint.trunk
    found = {"model": dict(vars(model)), "backbone": dict(vars(model.parts.backbone))}
    for name, module in trunk.named_modules():
        found[name] = {k: v for k, v in vars(module).items() if not k.startswith("_")}
    return found


def test_use_changes_nothing(model: ZoomModel) -> None:
    model.open(picture()).ask("warm up?", max_new_tokens=1)
    before = {name: tensor.clone() for name, tensor in weights(model).items()}
    hung = attributes(model)
    session = model.open([picture(), picture(seed=1)])
    session.ask("what is the total?", **LONG, **ANY_REGION)
    next(session.ask("what is the total?", stream=True, **LONG))
    model.ask_many([(picture(), "what?"), ([], "what?")], **LONG, **ANY_REGION)
    model.generate(torch.tensor([[9, 10, 11]]), do_sample=True, **LONG)
    assert attributes(model) == hung
    after = weights(model)
    assert list(after) == list(before)
    for name, tensor in after.items():
        assert torch.equal(tensor, before[name]), name
        assert tensor.grad is None


def test_it_is_ready_to_answer(model: ZoomModel) -> None:
    modules = [model.checkpoint.trunk, model.checkpoint.add_on]
    assert not any(part.training for part in modules if part is not None)
    checkpoint = chat_checkpoint("qwen3_vl")
    checkpoint.trunk.train()
    assert not ZoomModel(checkpoint).checkpoint.trunk.training
    assert model.device == torch.device("cpu")
    assert model.dtype == torch.float32
    assert model.name == f"tiny {model.family}"


def test_a_budget_shares_the_weights_and_keeps_everything_else(model: ZoomModel) -> None:
    smaller = model.with_budget(min_cells=4, max_cells=9)
    ours, theirs = weights(model), weights(smaller)
    assert all(ours[name] is theirs[name] for name in theirs)
    assert (smaller.config, smaller.name, smaller.tokenizer) == (
        model.config,
        model.name,
        model.tokenizer,
    )
    answer = smaller.open(picture()).ask("what is the total?", **LONG, **ANY_REGION)
    assert 4 <= answer.usage["visual_tokens"] <= 9
    assert 4 <= answer.usage["roi_tokens"] <= 9
    assert model.open(picture()).ask("what?", **LONG).usage["visual_tokens"] >= 16


@pytest.mark.parametrize(
    ("asked", "cells"),
    [
        ({}, (16, 64)),
        ({"max_cells": 100}, (16, 100)),
        ({"max_cells": 9}, (9, 9)),
        ({"min_cells": 20}, (20, 64)),
        ({"min_cells": 80}, (80, 80)),
        ({"min_cells": 2, "max_cells": 3}, (2, 3)),
    ],
)
def test_budgets(model: ZoomModel, asked: dict[str, int], cells: tuple[int, int]) -> None:
    pipeline = model.with_budget(**asked).pipeline
    side = pipeline.cell_side_px**2
    assert (pipeline.min_pixels // side, pipeline.max_pixels // side) == cells
    with pytest.raises(ConfigError, match="min_pixels"):
        model.with_budget(min_cells=9, max_cells=8)
    with pytest.raises(ConfigError, match="min_pixels"):
        model.with_budget(min_cells=0)


def test_saving_and_loading_gives_the_same_numbers(model: ZoomModel, tmp_path: Path) -> None:
    folder = model.with_budget(max_cells=40).save_pretrained(tmp_path / "model")
    loaded = qzoom.load(folder)
    assert loaded.family == model.family
    assert loaded.config == model.config
    assert loaded.pipeline == model.with_budget(max_cells=40).pipeline
    model = model.with_budget(max_cells=40)
    saved = weights(loaded)
    assert all(torch.equal(tensor, saved[name]) for name, tensor in weights(model).items())
    question = "what is the <|im_end|> total?"
    for options in (LONG | {"zoom": "never"}, LONG | ANY_REGION):
        with recording_logits(model) as ours:
            answer = model.open(picture()).ask(question, **options)
        with recording_logits(loaded) as theirs:
            same = loaded.open(picture()).ask(question, **options)
        # The weights are the same to the last bit, but lie elsewhere in memory.
        torch.testing.assert_close(torch.cat(ours), torch.cat(theirs), rtol=0, atol=1e-5)
        assert (answer.text, answer.token_ids) == (same.text, same.token_ids)
        assert answer.boxes_xyxy_px == same.boxes_xyxy_px
        assert answer.gate_probability == pytest.approx(same.gate_probability, abs=1e-5)
    assert loaded.options().eos_token_ids == model.options().eos_token_ids
    assert qzoom.load(folder, attn_implementation="eager").parts.backbone.attn_implementation


@pytest.mark.parametrize("kind", [{"region": False, "gate": False}, {"gate": False}])
def test_checkpoints_without_branches_come_back_without(
    kind: dict[str, bool], tmp_path: Path
) -> None:
    model = chat_model("qwen3_vl", **kind)
    loaded = qzoom.load(model.save_pretrained(tmp_path / "model"))
    assert loaded.config.enabled == model.config.enabled
    assert not loaded.config.gate_enabled
    answer = model.open(picture()).ask("what is the total?", roi_threshold=0.0, **LONG)
    same = loaded.open(picture()).ask("what is the total?", roi_threshold=0.0, **LONG)
    assert answer.token_ids == same.token_ids
    assert answer.zoomed == same.zoomed == model.config.enabled


def test_without_a_tokenizer_questions_go_through_generate() -> None:
    checkpoint = dataclasses.replace(chat_checkpoint("qwen3_vl"), tokenizer=None)
    model = ZoomModel(checkpoint)
    with pytest.raises(PromptError, match=r"no tokenizer\.json; ask with token ids"):
        model.open(picture()).ask("what?")
    with pytest.raises(PromptError, match=r"no tokenizer\.json"):
        model.ask_many([(picture(), "what?")])
    assert model.generate(torch.tensor([[9, 10]]), max_new_tokens=1).shape == (1, 3)  # type: ignore[union-attr]


def test_checkpoints_that_cannot_run_are_refused() -> None:
    settled = chat_checkpoint("qwen3_vl")
    with pytest.raises(ConfigError, match="2 deepstack levels"):
        ZoomModel(chat_checkpoint("qwen3_vl", split_layer=1))
    with pytest.raises(ConfigError, match="has no patch_size"):
        ZoomModel(dataclasses.replace(settled, image_settings={}))
    settled.trunk.model.language_model.config._attn_implementation = "flash_attention_2"  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="'flash_attention_2' is not supported"):
        ZoomModel(settled)


def test_half_precision_runs_through(model: ZoomModel) -> None:
    checkpoint = chat_checkpoint(model.family)  # type: ignore[arg-type]
    checkpoint.trunk.to(torch.bfloat16)
    assert checkpoint.add_on is not None
    checkpoint.add_on.to(torch.bfloat16)
    half = ZoomModel(checkpoint)
    assert half.dtype == torch.bfloat16
    session = half.open(picture())
    for _ in range(2):
        answer = session.ask("what is the total?", **LONG, **ANY_REGION)
        assert answer.zoomed
        assert answer.heatmap is not None
        assert answer.heatmap.dtype == torch.float32
    pairs = [(picture(), "what is the total?"), ([], "what?"), (picture(420, 160), "yes or no?")]
    assert len(half.ask_many(pairs, **LONG, **ANY_REGION)) == 3
    exact = model.open(picture()).ask("what is the total?", **LONG, **ANY_REGION)
    assert answer.gate_probability == pytest.approx(exact.gate_probability, abs=0.1)


def test_pictures_are_decoded_and_encoded_through_the_model(model: ZoomModel) -> None:
    images = model.decode([picture(), picture(420, 160)])
    features = model.encode(images)
    assert [one.grid_hw for one in features] == [model.grid_of(image) for image in images]
    assert model.encode([]) == []
    assert model.decode(picture())[0].size == (260, 200)
    assert isinstance(model.pipeline, ImagePipeline)
