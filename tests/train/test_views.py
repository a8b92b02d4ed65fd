"""Views: what a look shows, and crops that always hold the answer."""

from __future__ import annotations

from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.train.parts import only

from qzoom.synth.canvas import Question
from qzoom.synth.window_labels import CELL_PX
from qzoom.synth.world import CANVASES_PX
from qzoom.train.pixels import patches_uint8
from qzoom.train.views import (
    COARSE_CELLS,
    READABLE_PX,
    ViewMix,
    ViewPlan,
    choose,
    make_view,
    place_crop,
    view_hw_cells,
)

LOOKS = ("spot", "coarse", "double", "full", "zoom")


@pytest.mark.parametrize("look", LOOKS)
def test_views_of_a_batch_have_one_shape(look: str) -> None:
    mix = only(look, 512)
    for seed in range(4):
        rng = Random(seed)
        plan = mix.plan(rng)
        views = [make_view(rng, plan) for _ in range(min(4, plan.images))]
        assert len({view.image.size for view in views}) == 1
        assert {len(view.questions) for view in views} == {plan.groups}
        crops = [crop for view in views for crop in view.crops]
        assert len(crops) == (len(views) * plan.groups if look == "zoom" else 0)
        # Stacking fails if a rounded pixel gives one crop another grid.
        assert len({patches_uint8(crop).shape for crop in crops}) <= 1


@pytest.mark.parametrize("crop_hw", [(4, 4), (2, 4), (4, 2), (3, 5)])
@pytest.mark.parametrize("canvas_px", sorted(set(CANVASES_PX)))
def test_every_crop_shape_stacks(canvas_px: tuple[int, int], crop_hw: tuple[int, int]) -> None:
    rows, cols = view_hw_cells(canvas_px, COARSE_CELLS)
    hw = (min(rows, crop_hw[0]), min(cols, crop_hw[1]))
    plan, rng = ViewPlan(canvas_px, COARSE_CELLS, 1, 3, hw), Random(0)
    crops = [crop for _ in range(4) for crop in make_view(rng, plan).crops]
    np.stack([patches_uint8(crop) for crop in crops])


@given(st.randoms(use_true_random=False), st.sampled_from(CANVASES_PX), st.data())
def test_a_crop_holds_its_answer(rng: Random, canvas: tuple[int, int], data: st.DataObject) -> None:
    rows, cols = view_hw_cells(canvas, COARSE_CELLS)
    x1 = data.draw(st.integers(0, canvas[0] - 2))
    y1 = data.draw(st.integers(0, canvas[1] - 2))
    x2 = data.draw(st.integers(x1 + 1, canvas[0]))
    y2 = data.draw(st.integers(y1 + 1, canvas[1]))
    crop_hw = (data.draw(st.integers(1, rows)), data.draw(st.integers(1, cols)))
    question = Question("?", "owl", "sign_word", (x1, y1, x2, y2), 5.0)
    box = place_crop(rng, question, canvas, (rows, cols), crop_hw)
    wide, high = canvas[0] / cols, canvas[1] / rows
    if box is None:
        too_wide = (x2 - 1) // wide - x1 // wide >= crop_hw[1]
        too_high = (y2 - 1) // high - y1 // high >= crop_hw[0]
        assert too_wide or too_high
        return
    assert (box[3] - box[1], box[2] - box[0]) == crop_hw
    assert box[0] >= 0
    assert box[2] <= cols
    assert box[1] >= 0
    assert box[3] <= rows
    assert box[0] * wide <= x1
    assert x2 <= box[2] * wide + 1
    assert box[1] * high <= y1
    assert y2 <= box[3] * high + 1


def test_nothing_without_a_place_is_cropped() -> None:
    question = Question("how many signs are there?", "3", "count")
    assert place_crop(Random(0), question, (512, 512), (8, 8), (2, 2)) is None


@pytest.mark.parametrize("look", ["spot", "coarse", "double"])
def test_direct_questions_can_be_read(look: str) -> None:
    rng = Random(5)
    plan = only(look, 64).plan(rng)
    for _ in range(6):
        view = make_view(rng, plan)
        unit = (plan.canvas_px[0] * plan.canvas_px[1]) ** 0.5 / 256
        scale = view.image.width / plan.canvas_px[0] * unit
        sizes = [q.size_units for q in view.questions if q.size_units is not None]
        assert all(size * scale >= READABLE_PX for size in sizes)


def test_plans_follow_the_shares() -> None:
    mix, rng = ViewMix(coarse=0.5, double=0.0, full=0.0, zoom=0.5), Random(0)
    plans = [mix.plan(rng) for _ in range(200)]
    assert 60 < sum(plan.crop_hw_cells is not None for plan in plans) < 140
    assert {plan.max_cells for plan in plans} == {COARSE_CELLS}
    for plan in plans:
        rows, cols = view_hw_cells(plan.canvas_px, plan.max_cells)
        assert plan.images * rows * cols <= mix.cells_per_batch


def test_budgets() -> None:
    for size in CANVASES_PX:
        for budget in (64, 128, 1024):
            rows, cols = view_hw_cells(size, budget)
            assert 16 <= rows * cols <= budget
    assert view_hw_cells((512, 512), 1024) == (512 // CELL_PX, 512 // CELL_PX)


def test_choices_repeat_only_when_they_must() -> None:
    assert sorted(choose(Random(0), range(9), 9)) == list(range(9))
    few = Counter(choose(Random(0), ["a", "b"], 5))
    assert set(few) == {"a", "b"}
    assert sum(few.values()) == 5
