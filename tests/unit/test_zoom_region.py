"""The region map from queries and keys, and the box read off it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.tiny import FAMILIES, random_trunk, randomize
from torch import Tensor

from qzoom.backbones.base import rotate
from qzoom.geometry.heatmaps import gaussian_blur3
from qzoom.zoom.branches import QueryKeyHead
from qzoom.zoom.config import SinkRule, ZoomConfig
from qzoom.zoom.region import RegionKeys, choose_region, region_keys, region_logits

NO_KEYS = RegionKeys(torch.empty(0), None)


def config(rule: SinkRule = "none", **fields: Any) -> ZoomConfig:
    return ZoomConfig(enabled=True, split_layer=1, branch_depth=1, sink_rule=rule, **fields)


def peaked(rows: int, cols: int, *peaks: tuple[int, int]) -> Tensor:
    """Logits of a dark map with bright cells."""
    logits_hw = torch.full((rows, cols), -9.0)
    for row, col in peaks:
        logits_hw[row, col] = 9.0
    return logits_hw.flatten()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_map_is_the_mean_over_heads_of_scaled_scores(family: Any) -> None:
    trunk: Any = random_trunk(family).model.language_model
    head = QueryKeyHead(trunk.config, 0)
    randomize(head, seed=5)
    hidden = torch.randn(9, 64, generator=torch.Generator().manual_seed(1))
    places = torch.arange(9).expand(3, 1, 9)
    cos, sin = trunk.rotary_emb(hidden, places)
    keys = region_keys(
        head,
        hidden[2:8],
        (cos[:, 2:8], sin[:, 2:8]),
        hidden[0],
        (cos[:, :1], sin[:, :1]),
        "token0",
    )
    logits = region_logits(head, hidden[8], (cos[:, 8:], sin[:, 8:]), keys)

    all_keys = rotate(head.keys(hidden[None]), (cos, sin))[0].repeat_interleave(2, dim=0)
    queries = rotate(head.queries(hidden[None]), (cos, sin))[0]
    scores = torch.einsum("ad,acd->ac", queries[:, 8], all_keys[:, 2:8]) / 4
    torch.testing.assert_close(logits, scores.mean(0), rtol=0, atol=1e-5)
    # The first token asks with its first head alone.
    sinks = (torch.einsum("d,acd->ac", queries[0, 0], all_keys[:, 2:8]) / 4).mean(0).sigmoid()
    assert keys.sink_similarity_c is not None
    torch.testing.assert_close(keys.sink_similarity_c, sinks, rtol=0, atol=1e-5)


def test_other_rules_do_not_ask_the_first_token() -> None:
    trunk: Any = random_trunk("qwen2_5_vl").model.language_model
    head = QueryKeyHead(trunk.config, 0)
    hidden = torch.zeros(4, 64)
    rotary = trunk.rotary_emb(hidden, torch.arange(4).expand(3, 1, 4))
    first = (rotary[0][:, :1], rotary[1][:, :1])
    assert region_keys(head, hidden, rotary, hidden[0], first, "corner").sink_similarity_c is None


def test_half_precision_scores_are_summed_in_single() -> None:
    trunk: Any = random_trunk("qwen2_5_vl").model.language_model
    head = QueryKeyHead(trunk.config, 0).to(torch.bfloat16)
    randomize(head, seed=5)
    hidden = torch.randn(5, 64, generator=torch.Generator().manual_seed(1)).to(torch.bfloat16)
    cos, sin = trunk.rotary_emb(hidden, torch.arange(5).expand(3, 1, 5))
    keys = region_keys(
        head, hidden[:4], (cos[:, :4], sin[:, :4]), hidden[0], (cos[:, :1], sin[:, :1]), "none"
    )
    at = (cos[:, 4:], sin[:, 4:])
    logits = region_logits(head, hidden[4], at, keys)
    assert logits.dtype == torch.float32
    queries = rotate(head.queries(hidden[None, 4:]), at)[0, :, 0].float().view(2, 2, 16)
    exact = torch.einsum("ghd,gcd->c", queries, keys.keys_gcd.float()) / 16
    torch.testing.assert_close(logits, exact, rtol=0, atol=1e-6)


def test_the_box_holds_every_cell_above_the_threshold() -> None:
    logits = peaked(8, 10, (2, 3), (5, 7))
    choice = choose_region(logits, NO_KEYS, [(8, 10)], config(roi_threshold=0.15))
    # The blur leaves 0.20 on the peak, 0.12 beside it.
    assert choice.box_cells_xyxy == (3, 2, 8, 6)
    assert choice.image_index == 0
    assert choice.sink_keep_hw is None
    torch.testing.assert_close(choice.logits_hw, logits.view(8, 10))
    expected = gaussian_blur3(logits.view(8, 10).sigmoid(), 1.0)
    torch.testing.assert_close(choice.heatmap_hw, expected)


def test_a_cell_at_the_threshold_is_not_above_it() -> None:
    logits = peaked(6, 6, (3, 3))
    peak = choose_region(logits, NO_KEYS, [(6, 6)], config()).heatmap_hw.max().numpy()
    at = choose_region(logits, NO_KEYS, [(6, 6)], config(roi_threshold=float(peak)))
    below = float(np.nextafter(peak, np.float32(0)))
    above = choose_region(logits, NO_KEYS, [(6, 6)], config(roi_threshold=below))
    assert at.box_cells_xyxy is None
    assert at.heatmap_hw.max() == peak
    assert above.box_cells_xyxy == (3, 3, 4, 4)


def test_of_several_images_the_one_with_the_highest_peak_is_chosen() -> None:
    grids = [(3, 4), (4, 3), (2, 2)]
    quiet, loud = torch.full((12,), -9.0), peaked(4, 3, (0, 1))
    logits = torch.cat([quiet, loud, torch.full((4,), -5.0)])
    choice = choose_region(logits, NO_KEYS, grids, config())
    assert choice.image_index == 1
    assert choice.heatmap_hw.shape == (4, 3)
    assert choice.box_cells_xyxy == (0, 0, 3, 2)
    # Nothing anywhere: still the loudest map, for those who want to see it.
    none = choose_region(logits, NO_KEYS, grids, config(roi_threshold=0.9))
    assert (none.image_index, none.box_cells_xyxy) == (1, None)


def test_the_corner_rule_strikes_only_large_maps() -> None:
    for rows, cols, struck in [(16, 16, False), (16, 17, True)]:
        logits = torch.full((rows * cols,), 9.0)
        choice = choose_region(logits, NO_KEYS, [(rows, cols)], config("corner"))
        assert (choice.sink_keep_hw is not None) == struck
        if struck:
            assert choice.sink_keep_hw is not None
            lost = (~choice.sink_keep_hw).nonzero().tolist()
            assert lost == [[0, col] for col in range(4)] + [[row, 0] for row in range(1, 4)]
            assert choice.heatmap_hw[0, 0] < 0.9 < choice.heatmap_hw[8, 8]
    fewer = config("corner", corner_sink_min_cells=300)
    assert choose_region(logits, NO_KEYS, [(16, 17)], fewer).sink_keep_hw is None


def test_the_first_tokens_rule_strikes_cells_at_the_cutoff_and_above() -> None:
    similarity = torch.tensor([0.1, 0.75, 0.7499, 0.9, 0.5, 0.2, 0.3, 0.8])
    keys = RegionKeys(torch.empty(0), similarity)
    # Two images: each is struck by its own part of the similarities.
    choice = choose_region(torch.tensor([9.0] * 4 + [-9.0] * 4), keys, [(2, 2)] * 2, config())
    assert choice.image_index == 0
    assert choice.sink_keep_hw is not None
    assert choice.sink_keep_hw.tolist() == [[True, False], [True, False]]
    other = choose_region(torch.tensor([-9.0] * 4 + [9.0] * 4), keys, [(2, 2)] * 2, config())
    assert other.sink_keep_hw is not None
    assert other.sink_keep_hw.tolist() == [[True, True], [True, False]]
