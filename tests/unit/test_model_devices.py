"""Weights on another device than the prompts: every tensor made on the way lands where it must.

Without a GPU the model is put on the meta device, which computes nothing but refuses to mix with
the CPU; what reads numbers back is replaced.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.tiny import FAMILIES, Family
from tests.tiny_chat import ANY_REGION, chat_checkpoint, chat_model, picture
from torch import Tensor

from qzoom.backbones.base import Backbone, VisionFeatures
from qzoom.geometry.boxes import Box
from qzoom.zoom.decode import Decoder
from qzoom.zoom.model import ZoomModel
from qzoom.zoom.region import RegionChoice

LONG: dict[str, Any] = {"max_new_tokens": 3, "eos_token_id": []}
ROW_OF_ANSWERS: list[dict[str, Any]] = [
    {"zoom": "never"},
    {"gate_threshold": 0.0, "roi_threshold": 0.0},
    {"gate_threshold": 0.0, "roi_threshold": 0.0},
    {"zoom": "always", "roi_threshold": 0.0},
    {"gate_threshold": 2.0},
]


def moved(family: Family, device: str) -> ZoomModel:
    checkpoint = chat_checkpoint(family)
    assert checkpoint.add_on is not None
    checkpoint.trunk.to(device)
    checkpoint.add_on.to(device)
    return ZoomModel(checkpoint)


@pytest.fixture
def on_meta(monkeypatch: pytest.MonkeyPatch) -> None:
    def encode(backbone: Backbone, pixels: Tensor, grids: Tensor) -> list[VisionFeatures]:
        found = []
        for _, high, wide in grids.tolist():
            cells = torch.empty(high * wide // 4, 64, device="meta")
            levels = (cells,) * backbone.deepstack_levels
            found.append(VisionFeatures(cells, levels, (high // 2, wide // 2)))
        return found

    def choose_region(logits_c: Tensor, keys: Any, grids: Any, config: Any) -> RegionChoice:
        assert logits_c.is_meta
        assert keys.keys_gcd.is_meta
        (rows, cols), heat = grids[0], torch.zeros(grids[0])
        return RegionChoice(0, Box(0, 0, cols, rows), heat, heat, None)

    def choose(decoder: Decoder) -> list[int]:
        assert decoder.logits_bv.is_meta
        decoder._tokens_b = decoder.logits_bv.argmax(-1)
        return [9] * len(decoder._tokens_b)

    def gate(_: Any, run: Any, hidden_bnh: Tensor, last_b: Tensor) -> Tensor:
        assert last_b.is_meta
        assert hidden_bnh.is_meta
        # A store that was fed is longer at the next question.
        run.store.update(*[torch.empty(1, 2, hidden_bnh.shape[1], 16, device="meta")] * 2, 0)
        return torch.ones(len(hidden_bnh))

    monkeypatch.setattr(Backbone, "encode", encode)
    monkeypatch.setattr("qzoom.zoom.routing.choose_region", choose_region)
    monkeypatch.setattr("qzoom.zoom.routing.gate_probabilities", gate)
    monkeypatch.setattr(Decoder, "choose", choose)


@pytest.mark.usefixtures("on_meta")
@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_left_on_the_cpu(family: Family) -> None:
    model = moved(family, "meta")
    session = model.open(picture())
    for options in ROW_OF_ANSWERS:
        assert session.ask("what is the total?", **LONG, **options).token_ids == [9] * 3
    pairs: list[Any] = [(picture(), "what?"), ([], "what is the total?"), (picture(420, 160), "x")]
    for options in ROW_OF_ANSWERS:
        answers = model.ask_many(pairs, **LONG, **options)
        assert [answer.zoomed for answer in answers][1] is False
    sequences = model.generate(torch.tensor([[9, 10], [9, 9]]), **LONG)
    assert isinstance(sequences, Tensor)
    assert sequences.device == torch.device("cpu")


@pytest.mark.gpu
@pytest.mark.parametrize("family", FAMILIES)
def test_a_gpu_gives_the_same_answers(family: Family) -> None:
    here, there = chat_model(family), moved(family, "cuda")
    ours, theirs = here.open(picture()), there.open(picture())
    for options in ROW_OF_ANSWERS:
        answer = ours.ask("what is the total?", **LONG, **options)
        same = theirs.ask("what is the total?", **LONG, **options)
        assert same.token_ids == answer.token_ids
        assert same.boxes_xyxy_px == answer.boxes_xyxy_px
        assert same.gate_probability == pytest.approx(answer.gate_probability, abs=1e-3)
        assert same.heatmap is None or same.heatmap.device == torch.device("cpu")


@pytest.mark.gpu
@pytest.mark.parametrize("family", FAMILIES)
def test_a_gpu_samples_and_takes_ids_from_either_side(family: Family) -> None:
    model = moved(family, "cuda")
    warm: dict[str, Any] = {"temperature": 1.0, "repetition_penalty": 1.2, "top_k": 20, "seed": 3}
    session = model.open(picture())
    first = session.ask("what?", **LONG, **warm, **ANY_REGION)
    assert session.ask("what?", **LONG, **warm, **ANY_REGION).token_ids == first.token_ids
    ids = torch.tensor([[0, 9, 10], [9, 9, 11]])
    mask = torch.tensor([[0, 1, 1], [1, 1, 1]])
    from_cpu = model.generate(ids, attention_mask=mask, **LONG)
    from_gpu = model.generate(ids.cuda(), attention_mask=mask.cuda(), **LONG)
    assert isinstance(from_cpu, Tensor)
    assert isinstance(from_gpu, Tensor)
    assert from_gpu.is_cuda
    assert torch.equal(from_gpu.cpu(), from_cpu)
