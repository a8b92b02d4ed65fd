"""Vision attention in segments equals the installed model's own, call by call and whole."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.parity.prompts import random_prompt
from tests.tiny import FAMILIES, Family, random_trunk
from torch.nn import functional as F

from qzoom.backbones.registry import backbone_for
from qzoom.backbones.segments import Segments, plan_windows

GRIDS = [(4, 6), (1, 9), (3, 2), (5, 5), (4, 6)]


@pytest.mark.parametrize("family", FAMILIES)
def test_features_equal_the_installed_towers(family: Family) -> None:
    prompt = random_prompt(family, GRIDS)
    plain = random_trunk(family, attn_implementation="sdpa")
    backbone = backbone_for(random_trunk(family, attn_implementation="sdpa"))
    with torch.no_grad():
        expected = plain.model.visual(prompt.pixels, grid_thw=prompt.grid_thw, return_dict=True)
        found = backbone.encode(prompt.pixels, prompt.grid_thw)
    cells = torch.cat([each.cells_ch for each in found])
    torch.testing.assert_close(cells, expected.pooler_output, rtol=1e-4, atol=1e-5)
    for level, wanted in enumerate(getattr(expected, "deepstack_features", ())):
        mine = torch.cat([each.deepstack_ch[level] for each in found])
        torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-5)


def test_one_kernel_call_for_each_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 windows of one picture and none at its border: one call a layer."""
    backbone = backbone_for(random_trunk("qwen2_5_vl", attn_implementation="sdpa"))
    side = 4 * backbone.visual.window_size // (backbone.merge_size * backbone.visual.patch_size)
    prompt = random_prompt("qwen2_5_vl", [(side, side)])
    shapes: list[torch.Size] = []
    kernel = F.scaled_dot_product_attention

    def counted(query: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        shapes.append(query.shape)
        return kernel(query, *args, **kwargs)

    monkeypatch.setattr(F, "scaled_dot_product_attention", counted)
    with torch.no_grad():
        backbone.encode(prompt.pixels, prompt.grid_thw)
    assert len(shapes) == len(backbone.visual.blocks)
    windows = {shape[0] for shape in shapes}
    assert windows == {1, 16}


def test_windows_of_one_size_lie_side_by_side() -> None:
    visual = backbone_for(random_trunk("qwen2_5_vl", attn_implementation="sdpa")).visual
    grids = torch.tensor([[1, 22, 26], [1, 6, 4]])
    plan = plan_windows(grids, torch.device("cpu"), visual)
    assert plan.windows is not None
    assert plan.window_index is not None
    assert sorted(plan.window_index.tolist()) == list(range(11 * 13 + 3 * 2))
    lengths = [length for count, length in plan.windows.runs for _ in range(count)]
    assert sum(lengths) == 22 * 26 + 24
    assert len(plan.windows.runs) <= 8
    assert plan.pictures.runs == ((1, 572), (1, 24))


def test_runs() -> None:
    segments = Segments.of([4, 4, 2, 4], torch.device("cpu"))
    assert segments.runs == ((2, 4), (1, 2), (1, 4))
    assert segments.borders.tolist() == [0, 4, 8, 10, 14]
    assert segments.longest == 4
