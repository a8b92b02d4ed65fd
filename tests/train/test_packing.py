"""A packed group is exactly an ordinary prompt."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.train.parts import make_model, only, prompt_of, tokenizer, tokens
from torch import Tensor
from transformers import Qwen3VLForConditionalGeneration

from qzoom.geometry.boxes import Box
from qzoom.synth.window_labels import IGNORE
from qzoom.train.loader import Batch
from qzoom.train.packed_run import PackedRun, packed_forward
from qzoom.train.packing import encode_turn, group_mask, pad_texts
from qzoom.train.pixels import normalise
from qzoom.train.questions import QuestionStage
from qzoom.zoom.chat import question_ids
from qzoom.zoom.prompt import SpecialIds, lay_out, with_crop


@pytest.fixture(scope="module")
def model() -> Qwen3VLForConditionalGeneration:
    return make_model(seed=3)


def batch_of(model: Any, look: str, cells: int, step: int) -> Batch:
    return QuestionStage(model, tokenizer(), None, 0, only(look, cells)).make_batch(step)


def packed_logits(model: Any, batch: Batch) -> Tensor:
    with torch.no_grad():
        hidden, _ = packed_forward(model, tokens(), batch)
        logits: Tensor = model.lm_head(hidden)
    return logits


def special_ids() -> SpecialIds:
    fixed = tokens()
    return SpecialIds(fixed.image, fixed.vision_start, fixed.vision_end)


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize("look", ["spot", "coarse"])
def test_a_direct_group_is_an_ordinary_prompt(model: Any, look: str, step: int) -> None:
    batch = batch_of(model, look, 128, step)
    images, groups, _ = batch["ids"].shape
    assert images >= 2
    packed = packed_logits(model, batch)
    for image, group in ((0, 0), (images - 1, groups - 1), (0, 1)):
        prompt = prompt_of(batch, image, group)
        rows, cols = prompt.source_hw
        with torch.no_grad():
            alone = model(
                input_ids=prompt.input_ids[None],
                pixel_values=normalise(batch["source"][image : image + 1])[0],
                image_grid_thw=torch.tensor([[1, 2 * rows, 2 * cols]]),
                mm_token_type_ids=(prompt.input_ids == tokens().image).int()[None],
            ).logits[0]
        text = len(prompt.input_ids) - (len(tokens().prefix) + rows * cols + 1)
        torch.testing.assert_close(packed[image, group, :text], alone[-text:], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_zoomed_group_is_the_engines_second_look(model: Any, step: int) -> None:
    batch = batch_of(model, "zoom", 360, step)
    images, groups, _ = batch["ids"].shape
    crop_hw = (int(batch["crop_hw"][0]), int(batch["crop_hw"][1]))
    packed = packed_logits(model, batch)
    for image, group in ((0, 0), (images - 1, groups - 1)):
        prompt = prompt_of(batch, image, group)
        layout = lay_out(prompt.input_ids, [prompt.source_hw], special_ids())
        box = Box(*batch["boxes"][image, group].tolist())
        whole = with_crop(layout, 0, box, crop_hw, special_ids(), align=True)
        crop = batch["crops"][image * groups + group][None]
        grids = [[1, 2 * rows, 2 * cols] for rows, cols in (prompt.source_hw, crop_hw)]
        with torch.no_grad():
            alone = model(
                input_ids=whole.input_ids[None],
                attention_mask=torch.ones_like(whole.input_ids)[None],
                position_ids=whole.position_ids[:, None],
                pixel_values=torch.cat(
                    [normalise(batch["source"][image : image + 1])[0], normalise(crop)[0]]
                ),
                image_grid_thw=torch.tensor(grids),
            ).logits[0]
        text = len(layout.input_ids) - layout.prefix_length - 1
        torch.testing.assert_close(packed[image, group, :text], alone[-text:], atol=1e-4, rtol=1e-4)


def test_fewer_layers_and_the_rest_are_all_layers(model: Any) -> None:
    with torch.no_grad():
        run = PackedRun(model, tokens(), batch_of(model, "coarse", 64, 0))
        tap = run.trunk(3)
        rest = run.language.norm(run.through(run.language.layers[3:], tap))
        torch.testing.assert_close(rest, run.trunk(), atol=1e-5, rtol=1e-5)


def test_rows_are_found_where_they_were_laid(model: Any) -> None:
    with torch.no_grad():
        run = PackedRun(model, tokens(), batch_of(model, "zoom", 360, 0))
    words = run.language.embed_tokens(run.ids)
    torch.testing.assert_close(run.text_rows(run.hidden), words)
    assert run.source_rows(run.hidden).shape[1] == run.source_hw[0] * run.source_hw[1]
    assert not run.text_rows(run.deepstack[0]).any()
    assert run.source_rows(run.deepstack[0]).abs().sum(-1).all()


def test_groups_see_the_prefix_and_themselves() -> None:
    mask = group_mask(2, 2, 3)[0, 0]
    assert mask.shape == (8, 8)
    for row in range(8):
        own = 2 + (row - 2) // 3 * 3 if row >= 2 else 0
        seen = {i for i in range(row + 1) if i < 2 or i >= own}
        assert set(mask[row].nonzero()[:, 0].tolist()) == seen


def test_labels_are_the_next_ids() -> None:
    ids, labels = pad_texts([[([4, 5, 6, 7], 2), ([8, 9], 1)]], 0)
    assert ids.tolist() == [[[4, 5, 6, 7], [8, 9, 0, 0]]]
    assert labels.tolist() == [[[IGNORE, 6, 7, IGNORE], [9, IGNORE, IGNORE, IGNORE]]]


def test_a_turn_has_the_ids_that_asking_gives() -> None:
    question, grid = "what word is on the red sign?", (2, 3)
    ids, start = encode_turn(tokenizer(), question, "tiger")
    asked = question_ids(tokenizer(), question, [grid], tokens().image)
    before = [*tokens().prefix, *[tokens().image] * 6, tokens().vision_end]
    assert asked.tolist() == [*before, *ids[:start]]
    assert tokenizer().decode(ids[start:]) == "tiger<|im_end|>"
