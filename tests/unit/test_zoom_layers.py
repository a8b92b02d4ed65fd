"""Appending rows in pieces, padded, trimmed or under another kernel gives the same outputs."""

from __future__ import annotations

import functools
import itertools

import pytest
import torch
from tests.parity.prompts import IMAGE, VISION_END, VISION_START, Prompt, random_prompt
from tests.tiny import FAMILIES, Family, random_trunk
from torch import Tensor

from qzoom.backbones.base import Backbone
from qzoom.backbones.registry import backbone_for
from qzoom.zoom.cache import KVStore
from qzoom.zoom.layers import LayerRun, Rows, attention_mask
from qzoom.zoom.prompt import SpecialIds, lay_out
from qzoom.zoom.rows import rows_of

IDS = SpecialIds(IMAGE, VISION_START, VISION_END)
CLOSE = {"rtol": 0.0, "atol": 2e-5}
SPLIT = 4
KERNELS = ("eager", "sdpa")


@functools.cache
def backbone_of(family: Family, kernel: str) -> Backbone:
    return backbone_for(random_trunk(family, seed=5, attn_implementation=kernel))


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Family:
    return request.param


@pytest.fixture(params=KERNELS)
def backbone(request: pytest.FixtureRequest, family: Family) -> Backbone:
    return backbone_of(family, request.param)


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.inference_mode():
        yield


def whole(backbone: Backbone, *prompts: Prompt) -> Rows:
    """Rows of whole prompts, padded on the right."""
    features = [backbone.encode(prompt.pixels, prompt.grid_thw) for prompt in prompts]
    layouts = [lay_out(prompt.ids, prompt.grids_hw, IDS) for prompt in prompts]
    return rows_of(backbone, layouts, features, [0] * len(prompts), IMAGE)


def piece(rows: Rows, start: int, end: int) -> Rows:
    """Some rows of one unpadded prompt."""
    assert rows.visual_bn is not None
    first, last = (int(rows.visual_bn[:, :at].sum()) for at in (start, end))
    return Rows(
        rows.hidden_bnh[:, start:end],
        rows.position_ids[..., start:end],
        rows.visual_bn[:, start:end],
        tuple(level[first:last] for level in rows.deepstack),
    )


def append(
    backbone: Backbone, store: KVStore, rows: Rows, valid_bs: Tensor | None = None
) -> Tensor:
    """Logits of all rows, the lower and upper layers run one after the other."""
    run = LayerRun(backbone, store, backbone.rotary(rows.position_ids), valid_bs)
    tap = run(backbone.layers[:SPLIT], rows.hidden_bnh, rows=rows)
    return backbone.logits(run(backbone.layers[SPLIT:], tap, first_index=SPLIT))


def new_store(backbone: Backbone) -> KVStore:
    return KVStore(len(backbone.layers), room=5)


def next_row(backbone: Backbone, batch: int = 1) -> Rows:
    """A decoded token's row at a position of its own."""
    tokens = torch.full((batch, 1), 42)
    return Rows(backbone.embed(tokens), torch.full((3, batch, 1), 77.0))


@pytest.mark.parametrize(
    "cuts", [(1,), (20,), (12, 13, 14), (36,), (40, 44)], ids=lambda cuts: "-".join(map(str, cuts))
)
def test_pieces_equal_one_pass(backbone: Backbone, family: Family, cuts: tuple[int, ...]) -> None:
    # The 24 cells are rows 11 to 34, so that some cuts fall among them.
    prompt = random_prompt(family, [(4, 6)])
    rows, store = whole(backbone, prompt), new_store(backbone)
    expected = append(backbone, new_store(backbone), rows)
    edges = [0, *cuts, len(prompt.ids)]
    found = [
        append(backbone, store, piece(rows, start, end)) for start, end in itertools.pairwise(edges)
    ]
    torch.testing.assert_close(torch.cat(found, 1), expected, **CLOSE)


def test_layers_in_one_run_equal_lower_then_upper(backbone: Backbone, family: Family) -> None:
    rows = whole(backbone, random_prompt(family, [(4, 6)]))
    run = LayerRun(backbone, new_store(backbone), backbone.rotary(rows.position_ids))
    found = backbone.logits(run(backbone.layers, rows.hidden_bnh, rows=rows))
    expected = append(backbone, new_store(backbone), rows)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_another_question_after_a_cut(backbone: Backbone, family: Family) -> None:
    first, second = (random_prompt(family, [(4, 6)], words=words) for words in (4, 9))
    assert torch.equal(first.ids[:36], second.ids[:36])
    assert torch.equal(first.pixels, second.pixels)
    store = new_store(backbone)
    append(backbone, store, whole(backbone, first))
    store.truncate(36)
    rows = whole(backbone, second)
    found = append(backbone, store, piece(rows, 36, len(second.ids)))
    expected = append(backbone, new_store(backbone), rows)[:, 36:]
    torch.testing.assert_close(found, expected, **CLOSE)


def test_a_trimmed_last_layer_equals_the_last_row(backbone: Backbone, family: Family) -> None:
    rows = whole(backbone, random_prompt(family, [(4, 6)]))
    rotary = backbone.rotary(rows.position_ids)
    full, trimmed = new_store(backbone), new_store(backbone)
    expected = LayerRun(backbone, full, rotary)(backbone.layers, rows.hidden_bnh, rows=rows)
    last_b = torch.tensor([expected.shape[1] - 1])
    run = LayerRun(backbone, trimmed, rotary)
    found = run(backbone.layers, rows.hidden_bnh, rows=rows, last_b=last_b)
    assert found.shape == (1, 1, expected.shape[2])
    torch.testing.assert_close(found, expected[:, -1:], **CLOSE)
    check_stores(trimmed, full, len(backbone.layers))


def test_a_trimmed_last_layer_of_a_padded_batch(backbone: Backbone, family: Family) -> None:
    prompts = [random_prompt(family, [(4, 6)], words=words, seed=words) for words in (9, 2, 5)]
    rows = whole(backbone, *prompts)
    rotary = backbone.rotary(rows.position_ids)
    full, trimmed = new_store(backbone), new_store(backbone)
    expected = LayerRun(backbone, full, rotary, rows.valid_bn)(
        backbone.layers, rows.hidden_bnh, rows=rows
    )
    last_b = torch.tensor([len(prompt.ids) - 1 for prompt in prompts])
    found = LayerRun(backbone, trimmed, rotary, rows.valid_bn)(
        backbone.layers, rows.hidden_bnh, rows=rows, last_b=last_b
    )
    torch.testing.assert_close(found[:, 0], expected[torch.arange(3), last_b], **CLOSE)
    check_stores(trimmed, full, len(backbone.layers))


def test_a_single_row_is_its_own_last_row(backbone: Backbone, family: Family) -> None:
    store = new_store(backbone)
    append(backbone, store, whole(backbone, random_prompt(family, [(4, 6)])))
    again, row = store.select(torch.tensor([0])), next_row(backbone)
    expected = append(backbone, store, row)
    run = LayerRun(backbone, again, backbone.rotary(row.position_ids))
    found = backbone.logits(run(backbone.layers, row.hidden_bnh, last_b=torch.tensor([0])))
    torch.testing.assert_close(found, expected, **CLOSE)
    check_stores(again, store, len(backbone.layers))


def test_a_padded_batch_equals_its_rows_alone(backbone: Backbone, family: Family) -> None:
    prompts = [
        random_prompt(family, grids, words=words, seed=words)
        for grids, words in (([(4, 6)], 3), ([(1, 9)], 8), ([(2, 2), (3, 5)], 5))
    ]
    rows, together = whole(backbone, *prompts), new_store(backbone)
    assert rows.valid_bn is not None
    logits = append(backbone, together, rows, rows.valid_bn)
    valid_bs = torch.cat([rows.valid_bn, torch.ones(3, 1, dtype=torch.bool)], 1)
    decoded = append(backbone, together, next_row(backbone, 3), valid_bs)
    for number, prompt in enumerate(prompts):
        alone = new_store(backbone)
        expected = append(backbone, alone, whole(backbone, prompt))
        torch.testing.assert_close(logits[number, : len(prompt.ids)], expected[0], **CLOSE)
        after = append(backbone, alone, next_row(backbone))
        torch.testing.assert_close(decoded[number], after[0], **CLOSE)


def test_kernels_agree(family: Family) -> None:
    prompts = [random_prompt(family, [(4, 6)], words=words) for words in (3, 8)]
    found = []
    for kernel in KERNELS:
        backbone, rows = backbone_of(family, kernel), whole(backbone_of(family, kernel), *prompts)
        store = new_store(backbone)
        logits = append(backbone, store, rows, rows.valid_bn)
        assert rows.valid_bn is not None
        found.append(logits[rows.valid_bn])
        alone = whole(backbone, prompts[0])
        found[-1] = torch.cat([found[-1], append(backbone, new_store(backbone), alone)[0]])
    torch.testing.assert_close(*found, **CLOSE)


def test_given_rows_are_left_alone(backbone: Backbone, family: Family) -> None:
    rows = whole(backbone, random_prompt(family, [(4, 6)]))
    before = rows.hidden_bnh.clone()
    append(backbone, new_store(backbone), rows)
    assert torch.equal(rows.hidden_bnh, before)


def test_no_layers_give_the_rows_back(backbone: Backbone) -> None:
    row = next_row(backbone)
    run = LayerRun(backbone, KVStore(0), backbone.rotary(row.position_ids))
    assert run([], row.hidden_bnh, last_b=torch.tensor([0])) is row.hidden_bnh


def test_masks_are_built_only_where_the_kernel_needs_one(family: Family) -> None:
    eager, sdpa = (backbone_of(family, kernel) for kernel in KERNELS)
    assert attention_mask(sdpa, 5, 5, None) is None
    assert attention_mask(sdpa, 1, 9, None) is None
    assert attention_mask(eager, 1, 9, None) is None
    assert attention_mask(sdpa, 2, 5, None) is not None
    assert attention_mask(eager, 5, 5, None) is not None
    assert attention_mask(sdpa, 1, 3, torch.tensor([[True, False, True]])) is not None


def test_masks_let_rows_see_what_came_before(family: Family) -> None:
    eager, sdpa = (backbone_of(family, kernel) for kernel in KERNELS)
    valid_bs = torch.tensor([[True] * 5, [True, True, False, True, True]])
    mask = attention_mask(sdpa, 2, 5, valid_bs)
    assert mask is not None
    seen = [[[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]], [[1, 1, 0, 1, 0], [1, 1, 0, 1, 1]]]
    assert mask[:, 0].int().tolist() == seen
    added = attention_mask(eager, 2, 5, valid_bs)
    assert added is not None
    assert torch.equal(added == 0, mask)
    assert (added[~mask] == torch.finfo(torch.float32).min).all()


def check_stores(found: KVStore, expected: KVStore, layer_count: int) -> None:
    """The same keys and values in every layer."""
    for layer in range(layer_count):
        for part, wanted in zip(found.rows(layer), expected.rows(layer), strict=True):
            torch.testing.assert_close(part, wanted, **CLOSE)
