"""What a session keeps: stretches of rows, and the crops used last."""

from __future__ import annotations

import torch
from tests.tiny import BRANCH_DEPTH
from tests.tiny_chat import LAYERS, chat_model

from qzoom.geometry.boxes import Box
from qzoom.zoom.prefix import KEPT_CROPS, KeptCrop, PrefixState, Stretch


def stretch(batch: int, rows: int, seed: int = 0) -> Stretch:
    generator = torch.Generator().manual_seed(seed)
    hidden, cos, sin = (torch.randn(batch, rows, n, generator=generator) for n in (8, 4, 4))
    return Stretch(hidden, (cos, sin))


def assert_equal(first: Stretch, second: Stretch) -> None:
    for ours, theirs in zip(
        (first.hidden_bnh, *first.rotary), (second.hidden_bnh, *second.rotary), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_stretches_are_cut_joined_and_picked_with_their_tables() -> None:
    whole = stretch(3, 7)
    cos, sin = whole.rotary
    rest = Stretch(whole.hidden_bnh[:, 4:], (cos[:, 4:], sin[:, 4:]))
    assert_equal(whole.first(4).then(rest), whole)
    assert (whole.length, whole.first(4).length) == (7, 4)
    index = torch.tensor([2, 0])
    picked = whole.select(index)
    assert_equal(picked, Stretch(whole.hidden_bnh[index], (cos[index], sin[index])))


def kept(seed: int) -> KeptCrop:
    return KeptCrop(Box(0, 0, seed + 1, 1), (1, 2, 2), (1, 1), [])


def test_the_crop_unused_for_longest_goes_first() -> None:
    state = PrefixState.empty(chat_model("qwen3_vl").parts, 4, reused=True)
    boxes = [Box(0, 0, side, 1) for side in range(1, KEPT_CROPS + 2)]
    for number, box in enumerate(boxes[:-1]):
        state.keep_crop(0, box, kept(number))
    # Looking at the oldest again makes it the newest.
    assert state.kept_crop(0, boxes[0]) == kept(0)
    state.keep_crop(0, boxes[-1], kept(9))
    assert state.kept_crop(0, boxes[1]) is None
    assert state.kept_crop(0, boxes[0]) == kept(0)
    assert len(state.crops) == KEPT_CROPS


def test_the_same_box_on_another_image_is_another_crop() -> None:
    state = PrefixState.empty(chat_model("qwen3_vl").parts, 4, reused=True)
    state.keep_crop(1, Box(0, 0, 1, 1), kept(1))
    assert state.kept_crop(0, Box(0, 0, 1, 1)) is None
    assert state.kept_crop(1, Box(0, 0, 1, 1)) == kept(1)


def test_rewinding_cuts_every_store_back_to_the_prefix() -> None:
    state = PrefixState.empty(chat_model("qwen3_vl").parts, 4, reused=True)
    rows = torch.randn(1, 2, 6, 16)
    for layer in range(4):
        state.trunk.update(rows, rows, layer)
    state.gate.update(rows, rows, 0)
    state.region.update(rows[:, :, :3], rows[:, :, :3], 0)
    state.rewind()
    assert [state.trunk.length(layer) for layer in range(LAYERS)] == [4] * 4 + [0] * 4
    # What never held a whole prefix is not filled up by rewinding.
    assert (state.gate.length(0), state.region.length(0)) == (4, 3)


def test_stores_fit_the_branches_there_are() -> None:
    for gate, region, layers in [(True, True, BRANCH_DEPTH), (False, True, BRANCH_DEPTH)]:
        parts = chat_model("qwen3_vl", gate=gate, region=region).parts
        state = PrefixState.empty(parts, 4, reused=True)
        assert state.gate.length(layers - 1) == 0
        assert state.region.length(layers - 2) == 0
    plain = PrefixState.empty(chat_model("qwen3_vl", region=False, gate=False).parts, reused=False)
    assert (plain.length, plain.reused, plain.tap) == (0, False, None)
