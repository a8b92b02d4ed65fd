"""Attention of chosen rows and heads equals a slice of the whole maps of transformers."""

from __future__ import annotations

import pytest
import torch
from tests.parity.prompts import batch_of, random_prompt
from tests.tiny import FAMILIES, Family, image_settings, random_trunk

from qzoom.backbones.registry import backbone_for
from qzoom.errors import ConfigError
from qzoom.images.pipeline import ImagePipeline
from qzoom.labels.attention import HeadSet, attention_maps
from qzoom.zoom.config import ZoomConfig
from qzoom.zoom.parts import ModelParts
from qzoom.zoom.prompt import PromptLayout, SpecialIds, lay_out
from qzoom.zoom.uncached import cell_rows

GRIDS = [[(4, 6)], [(1, 9)], [(3, 2), (2, 5)]]
SETS = [HeadSet({2: (0, 3), 5: (1,)}), HeadSet({7: (2,)}), HeadSet({0: (1,)})]


def parts_of(family: Family, attn: str) -> ModelParts:
    trunk = random_trunk(family, attn_implementation=attn)
    pipeline = ImagePipeline.from_config(image_settings(family))
    config = ZoomConfig(enabled=False)
    return ModelParts(backbone_for(trunk), None, pipeline, config, SpecialIds(5, 3, 4))


@pytest.mark.parametrize("attn", ["eager", "sdpa"])
@pytest.mark.parametrize("family", FAMILIES)
def test_maps_equal_slices_of_whole_maps(family: Family, attn: str) -> None:
    parts, whole = parts_of(family, attn), random_trunk(family, attn_implementation="eager")
    prompts = [random_prompt(family, grids, words=5 + i, seed=i) for i, grids in enumerate(GRIDS)]
    layouts = [lay_out(p.ids, p.grids_hw, parts.ids) for p in prompts]
    features = [parts.backbone.encode(p.pixels, p.grid_thw) for p in prompts]
    asking = [[len(p.ids) - 3, len(p.ids) - 1] for p in prompts]
    found = attention_maps(parts, layouts, features, asking, SETS)
    for prompt, layout, rows, maps in zip(prompts, layouts, asking, found, strict=True):
        with torch.no_grad():
            maps_lahnn = whole(**batch_of([prompt]), output_attentions=True).attentions
        for heads, found_c in zip(SETS, maps, strict=True):
            named = [(layer, h) for layer, some in heads.heads_by_layer.items() for h in some]
            slices = [maps_lahnn[layer][0, head, rows] for layer, head in named]
            expected = torch.stack(slices).mean((0, 1))[cell_rows(layout)]
            torch.testing.assert_close(found_c, expected, atol=1e-6, rtol=1e-4)


def test_nothing_above_the_deepest_layer_runs() -> None:
    parts = parts_of("qwen3_vl", "sdpa")
    prompt = random_prompt("qwen3_vl", [(4, 6)])
    ran: list[int] = []
    for index, layer in enumerate(parts.backbone.layers):
        layer.register_forward_hook(lambda *_, index=index: ran.append(index))
    layout = lay_out(prompt.ids, prompt.grids_hw, parts.ids)
    features = [parts.backbone.encode(prompt.pixels, prompt.grid_thw)]
    attention_maps(parts, [layout], features, [[layout.length - 1]], [HeadSet({3: (0,)})])
    assert ran == [0, 1, 2]


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ({9: (0,)}, "layer 9 is named; the trunk has 8"),
        ({1: (4,)}, "head 4 is named; a layer has 4"),
        ({}, "no attention head is named"),
    ],
)
def test_heads_that_are_not_there(heads: dict[int, tuple[int, ...]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        HeadSet(heads).check(8, 4)


def test_a_response_without_rows() -> None:
    parts = parts_of("qwen3_vl", "sdpa")
    layout = PromptLayout(torch.tensor([1]), torch.zeros(3, 1), 1, (), (), (), 0)
    with pytest.raises(ConfigError, match="no row"):
        attention_maps(parts, [layout], [[]], [[]], [HeadSet({0: (0,)})])
