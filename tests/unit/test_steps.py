"""Work that pauses: what it comes to, where it pauses, and whose time is counted."""

from __future__ import annotations

import time

import pytest
import torch
from tests.tiny import FAMILIES
from tests.tiny_chat import ANY_REGION, chat_model, picture

from qzoom.backbones import base
from qzoom.eval.rivals.looker import laid_out
from qzoom.steps import Steps, finish
from qzoom.zoom.prefill import prefill, prefill_steps
from qzoom.zoom.requests import batch_of
from qzoom.zoom.tickets import Work
from qzoom.zoom.timings import Timings


def counting(end: int) -> Steps[int]:
    for _ in range(end):
        yield
    return end


@pytest.mark.parametrize("end", [0, 1, 5])
def test_finish_gives_what_the_steps_come_to(end: int) -> None:
    assert finish(counting(end)) == end
    assert finish(Timings().over("gate", counting(end))) == end


def test_time_between_steps_is_not_counted() -> None:
    timings = Timings()
    for _ in timings.over("gate", counting(3)):
        time.sleep(0.02)
    seconds = timings.read()
    assert seconds["gate"] <= seconds["total"] - 0.05


def test_an_error_in_a_step_comes_through() -> None:
    def broken() -> Steps[int]:
        yield
        raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        finish(Timings().over("gate", broken()))


def work_of(family: str, zoom: str) -> Work:
    model, image = chat_model(family), picture()
    features = model.encode([image])
    options = model.options(**ANY_REGION, zoom=zoom)
    layout = laid_out(model, "what?", features)
    return batch_of(model.parts, options, [layout], [[image]], [features])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("zoom", ["never", "always"])
@torch.inference_mode()
def test_a_prefill_pauses_between_layers(family: str, zoom: str) -> None:
    work = work_of(family, zoom)
    steps, pauses = prefill_steps(work, Timings()), 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            (lane,) = end.value
            break
        pauses += 1
    assert pauses >= len(work.parts.backbone.layers) - 1
    (same,) = prefill(work_of(family, zoom), Timings())
    assert torch.equal(lane.logits_bv, same.logits_bv)


def test_encoding_pauses_between_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    model = chat_model("qwen3_vl")
    pixels = model.pipeline([picture(seed=seed) for seed in range(3)])
    monkeypatch.setattr(base, "CPU_PATCHES", 1)
    with torch.inference_mode():
        steps = model.parts.backbone.encode_steps(pixels.pixel_values, pixels.image_grid_thw)
        assert len(list(steps)) == 2
