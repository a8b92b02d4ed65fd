"""Grounding: the loss is read off the very attention that the layers compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from tests.train.parts import make_model, only, tokenizer, tokens

from qzoom.synth.canvas import Question
from qzoom.synth.window_labels import IGNORE
from qzoom.train.grounding import GROUNDED_LAYERS, grounding_loss, ink_cells
from qzoom.train.packed_run import PackedRun
from qzoom.train.questions import QuestionStage


def test_ink_is_where_the_answer_is_printed() -> None:
    question = Question("?", "owl", "sign_word", (70, 40, 130, 60), 8.0)
    whole = ink_cells(question, (0, 0, 256, 128), (4, 8)).reshape(4, 8)
    assert np.argwhere(whole).tolist() == [[1, 2], [1, 3], [1, 4]]
    crop = ink_cells(question, (64, 32, 192, 96), (2, 4)).reshape(2, 4)
    assert np.argwhere(crop).tolist() == [[0, 0], [0, 1], [0, 2]]
    assert not ink_cells(Question("?", "3", "count"), (0, 0, 64, 64), (2, 2)).any()


def attention_of(run: PackedRun, layer: Any, hidden: torch.Tensor) -> torch.Tensor:
    """Weights of shape `(batch, heads, n, n)` of the installed layer, computed the slow way."""
    config = layer.self_attn.config
    before, config._attn_implementation = config._attn_implementation, "eager"
    try:
        weights: torch.Tensor = layer.self_attn(
            hidden_states=layer.input_layernorm(hidden),
            position_embeddings=run.rotary,
            attention_mask=torch.zeros(run.mask.shape).masked_fill(~run.mask, -torch.inf),
        )[1]
    finally:
        config._attn_implementation = before
    return weights


def test_the_loss_is_the_layers_own_attention() -> None:
    model: Any = make_model(seed=8)
    for look in ("coarse", "zoom"):
        cells = 360 if look == "zoom" else 64
        batch = QuestionStage(model, tokenizer(), None, 0, only(look, cells)).make_batch(1)
        targets = torch.as_tensor(batch["targets"])
        with torch.no_grad():
            run = PackedRun(model, tokens(), batch)
            entering = dict.fromkeys(GROUNDED_LAYERS, run.hidden)
            run.trunk(record=entering)
            loss = grounding_loss(run, entering, targets)
            found = []
            for index, hidden in entering.items():
                weights = attention_of(run, run.language.layers[index], hidden)
                for head in range(weights.shape[1] // 2):
                    found.append(expected(run, weights[:, head], targets))
        assert targets.any()
        torch.testing.assert_close(loss, torch.stack(found).mean(), atol=1e-4, rtol=1e-4)


def expected(run: PackedRun, weights_bnn: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean of -log of the share of the visual attention that falls on the answer, row by row."""
    images, groups, length = run.ids.shape
    block = (weights_bnn.shape[1] - run.prefix) // groups
    source = run.source_hw[0] * run.source_hw[1]
    crop = targets.shape[-1] - source
    losses = []
    for b in range(images):
        for g in range(groups):
            if not targets[b, g].any():
                continue
            start = run.prefix + g * block
            cells = [
                *range(run.prefix - source, run.prefix),
                *range(start + 2, start + 2 + crop),
            ]
            for row in (run.labels[b, g] != IGNORE).nonzero()[:, 0].tolist():
                seen = weights_bnn[b, start + block - length + row][cells]
                losses.append(-(seen[targets[b, g]].sum() / seen.sum()).log())
    return torch.stack(losses).mean()


def test_pictures_without_answers_teach_nothing() -> None:
    model: Any = make_model()
    batch = QuestionStage(model, tokenizer(), None, 0, only("coarse", 64)).make_batch(0)
    run = PackedRun(model, tokens(), batch)
    nothing = torch.zeros_like(torch.as_tensor(batch["targets"]))
    assert float(grounding_loss(run, dict.fromkeys(GROUNDED_LAYERS, run.hidden), nothing)) == 0.0


def test_groups_without_a_place_leave_finite_gradients() -> None:
    model: Any = make_model()
    batch = QuestionStage(model, tokenizer(), None, 0, only("coarse", 64)).make_batch(0)
    targets = torch.as_tensor(batch["targets"]).clone()
    targets[:, 1:] = False
    targets[:, 0, 3] = True
    run = PackedRun(model, tokens(), batch)
    entering = dict.fromkeys(GROUNDED_LAYERS, run.hidden)
    run.trunk(record=entering)
    loss: Any = grounding_loss(run, entering, targets)
    loss.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)
