"""Native mode: a threshold that follows the peak, and crops of their own size."""

from __future__ import annotations

import pytest
import torch
from tests.tiny_chat import ANY_REGION, chat_checkpoint, picture

from qzoom.errors import ConfigError
from qzoom.geometry.boxes import Box
from qzoom.zoom.config import ZoomConfig
from qzoom.zoom.model import ZoomModel
from qzoom.zoom.native import crop_cap
from qzoom.zoom.region import RegionKeys, choose_region

PLAIN = ZoomConfig(enabled=True, split_layer=1, branch_depth=1, blur_sigma=0.01)
NO_KEYS = RegionKeys(torch.zeros(1, 12, 1), None)


def box_of(probabilities_hw: torch.Tensor, **fields: object) -> Box | None:
    config = PLAIN.with_overrides(**fields)
    logits_c = probabilities_hw.logit().flatten()
    return choose_region(logits_c, NO_KEYS, [tuple(probabilities_hw.shape)], config).box_cells_xyxy  # type: ignore[list-item]


def test_the_peak_sets_the_threshold() -> None:
    faint = torch.full((3, 4), 0.001)
    faint[1, 1:3] = torch.tensor([0.04, 0.03])
    assert box_of(faint, roi_threshold=0.1) is None
    assert box_of(faint, roi_threshold=0.5, roi_threshold_of="peak") == Box(1, 1, 3, 2)
    assert box_of(faint, roi_threshold=0.9, roi_threshold_of="peak") == Box(1, 1, 2, 2)


def test_a_bright_map_does_not_grow_the_region() -> None:
    bright = torch.full((3, 4), 0.2)
    bright[0, 0] = 0.9
    assert box_of(bright, roi_threshold=0.1) == Box(0, 0, 4, 3)
    assert box_of(bright, roi_threshold=0.3, roi_threshold_of="peak") == Box(0, 0, 1, 1)


@pytest.mark.parametrize(("cells", "cap"), [(64, 160), (576, 160), (577, 256), (4096, 384)])
def test_caps_grow_more_slowly_than_budgets(cells: int, cap: int) -> None:
    assert crop_cap(cells) == cap


def test_crops_have_the_cells_that_their_pixels_fill() -> None:
    reference = ZoomModel(chat_checkpoint("qwen3_vl"))
    native = reference.with_mode("native")
    image = picture(640, 480)
    options = {"zoom": "always", "box_xyxy_px": (64, 64, 192, 160), "max_new_tokens": 1}
    small = native.open(image).ask("what is that?", **options)
    large = reference.open(image).ask("what is that?", **options)
    cell = native.pipeline.cell_side_px
    x1, y1, x2, y2 = small.boxes_xyxy_px[0]
    own = (x2 - x1) * (y2 - y1) / cell**2
    assert abs(small.usage["roi_tokens"] - own) <= own / 2
    assert large.usage["roi_tokens"] >= reference.pipeline.budget_cells[0]
    assert small.boxes_xyxy_px == large.boxes_xyxy_px


def test_modes_there_and_back() -> None:
    model = ZoomModel(chat_checkpoint("qwen3_vl"))
    back = model.with_mode("native").with_mode("reference")
    assert back.config == model.config
    image = picture()
    first, second = (
        each.open(image).ask("what is that?", max_new_tokens=2, **ANY_REGION)  # type: ignore[arg-type]
        for each in (model, back)
    )
    assert first.token_ids == second.token_ids
    with pytest.raises(ConfigError, match="mode is 'fast'; use 'reference' or 'native'"):
        model.with_mode("fast")
