"""Looks at real pages: every answer asked about can be seen, and is where it is said to be."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from qzoom.data.jsonl import read_records, write_records
from qzoom.data.readers.synth import write_scenes
from qzoom.errors import ConfigError, DataError
from qzoom.synth.canvas import Question
from qzoom.synth.window_labels import CELL_PX
from qzoom.train.page_looks import MixedLooks, PageMix
from qzoom.train.pages import Pages, PageSource, choose_evenly, cut, kind_of, worn
from qzoom.train.pixels import patches_uint8
from qzoom.train.views import View, ViewMix, ViewPlan

RED = (255, 0, 0)


def only(look: str, cells: int = 300) -> PageMix:
    shares = dict.fromkeys(("window", "zoom", "full"), 0.0) | {look: 1.0}
    return PageMix(**shares, cells_per_batch=cells, full_max_cells=256)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes whose boxes are filled with red, so that an answer's place can be checked."""
    root = tmp_path_factory.mktemp("pages")
    for record in read_records(write_scenes(root, 6, "pages")):
        path = root / record.images[0]
        image = Image.new("RGB", Image.open(path).size, (255, 255, 255))
        for turn in record.turns:
            for box in turn.boxes_px_xyxy:
                image.paste(RED, tuple(round(value) for value in box))
        image.save(path)
    return root


@pytest.fixture(scope="module")
def pages(folder: Path) -> Pages:
    return Pages([PageSource(str(folder / "records.jsonl"), str(folder))])


def views_of(pages: Pages, look: str, seeds: range = range(6)) -> list[tuple[ViewPlan, View]]:
    found = []
    for seed in seeds:
        plan, views = only(look).batch(Random(seed), pages)
        assert len(views) == plan.images
        found += [(plan, view) for view in views]
    return found


@pytest.mark.parametrize("look", ["window", "zoom", "full"])
def test_pictures_of_a_batch_stack(pages: Pages, look: str) -> None:
    for seed in range(6):
        plan, views = only(look).batch(Random(seed), pages)
        np.stack([patches_uint8(view.image) for view in views])
        assert {len(view.questions) for view in views} == {plan.groups}
        if look == "zoom":
            np.stack([patches_uint8(crop) for view in views for crop in view.crops])
            assert {len(view.crops) for view in views} == {plan.groups}


@pytest.mark.parametrize("look", ["window", "full"])
def test_answers_are_where_they_are_said_to_be(pages: Pages, look: str) -> None:
    for plan, view in views_of(pages, look):
        x = view.image.width / plan.canvas_px[0]
        y = view.image.height / plan.canvas_px[1]
        for question in view.questions:
            assert question.box_px_xyxy is not None
            left, top, right, bottom = question.box_px_xyxy
            assert left > -2
            assert top > -2
            assert right < plan.canvas_px[0] + 2
            assert bottom < plan.canvas_px[1] + 2
            spot = view.image.getpixel((int((left + right) / 2 * x), int((top + bottom) / 2 * y)))
            assert isinstance(spot, tuple)
            assert spot[0] > spot[1] + 60


def test_a_crop_holds_its_answer(pages: Pages) -> None:
    for plan, view in views_of(pages, "zoom"):
        cells = (view.image.width // CELL_PX, view.image.height // CELL_PX)
        for question, box, crop in zip(
            view.questions, view.boxes_cells_xyxy, view.crops, strict=True
        ):
            assert question.box_px_xyxy is not None
            for axis in (0, 1):
                side = plan.canvas_px[axis] / cells[axis]
                assert box[axis] * side <= question.box_px_xyxy[axis] + 1
                assert box[axis + 2] * side >= question.box_px_xyxy[axis + 2] - 1
            pixels = np.asarray(crop, np.int16)
            assert (pixels[..., 0] > pixels[..., 1] + 60).any()


def test_a_batch_is_a_function_of_its_seed(pages: Pages, folder: Path) -> None:
    again = Pages([PageSource(str(folder / "records.jsonl"), str(folder))])
    for look in ("window", "zoom", "full"):
        _, one = only(look).batch(Random(3), pages)
        _, two = only(look).batch(Random(3), again)
        assert [view.questions for view in one] == [view.questions for view in two]
        assert [view.image.tobytes() for view in one] == [view.image.tobytes() for view in two]


def test_only_training_records_with_boxes_are_used(folder: Path, tmp_path: Path) -> None:
    records = list(read_records(folder / "records.jsonl"))
    parts = [
        dataclasses.replace(r, split=s) for r, s in zip(records, ("train", "test"), strict=False)
    ]
    path = tmp_path / "records.jsonl"
    write_records(path, parts)
    assert len(Pages([PageSource(str(path), str(folder))])) == 1
    write_records(path, parts[1:])
    with pytest.raises(ConfigError, match="no training record with a boxed answer"):
        Pages([PageSource(str(path), str(folder))])


def test_sources_are_drawn_by_weight(folder: Path) -> None:
    path = str(folder / "records.jsonl")
    pages = Pages(
        [
            PageSource(path, str(folder), 3.0),
            PageSource(path, str(folder.parent / folder.name), 1.0),
        ]
    )
    rng = Random(0)
    drawn = Counter(id(pages.draw(rng).folder) for _ in range(400))
    assert 0.66 < max(drawn.values()) / 400 < 0.84


def test_rare_kinds_are_asked_too() -> None:
    box = (0.0, 0.0, 1.0, 1.0)
    many = [Question(f'what is next to "{n}"?', "a", "next", box) for n in range(99)]
    rare = Question("what is the total?", "1", "total", box)
    chosen = Counter(choose_evenly(Random(0), [*many, rare], 400))
    assert 70 < chosen[rare] < 140
    assert kind_of('what is next to "9"?') == kind_of('what is next to "10"?')


def test_looks_are_mixed_by_share(pages: Pages) -> None:
    world, mix = ViewMix(cells_per_batch=64), only("window")
    plan, _ = MixedLooks(world, pages, mix, 1.0).batch(Random(0))
    assert plan.crop_hw_cells is None
    assert plan.groups == 6
    assert (
        MixedLooks(world, pages, mix, 0.0).batch(Random(0))[0] == world.batch(_spent(Random(0)))[0]
    )


def _spent(rng: Random) -> Random:
    rng.random()
    return rng


@given(st.integers(-40, 90), st.integers(-40, 90), st.integers(1, 120), st.integers(1, 120))
def test_what_lies_off_the_page_is_white(left: int, top: int, width: int, height: int) -> None:
    image = Image.new("RGB", (50, 40), (0, 0, 0))
    found = cut(image, (left, top, left + width, top + height), (width, height))
    inked = int((np.asarray(found) == 0).all(-1).sum())
    across = max(0, min(50, left + width) - max(0, left))
    down = max(0, min(40, top + height) - max(0, top))
    assert inked == across * down


def test_wear_keeps_size_and_order_of_tones() -> None:
    ramp = Image.linear_gradient("L").convert("RGB")
    for seed in range(8):
        found = worn(Random(seed), ramp)
        column = [found.getpixel((9, y))[0] for y in range(8, 248)]
        assert found.size == ramp.size
        assert column == sorted(column)
        assert column[0] < column[-1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": 0.0}, "the weight of .* is 0; give one above 0"),
        ({"answers": "[0-9"}, "is no regular expression: unterminated character set"),
    ],
)
def test_sources_that_cannot_be_used(folder: Path, changes: Any, message: str) -> None:
    source = PageSource(str(folder / "records.jsonl"), str(folder))
    with pytest.raises(ConfigError, match=message):
        Pages([dataclasses.replace(source, **changes)])
    with pytest.raises(ConfigError, match="no sources of documents are named"):
        Pages([])


def with_box(folder: Path, out: Path, box: tuple[float, float, float, float]) -> Pages:
    """One page whose only answer is in a box."""
    record = next(read_records(folder / "records.jsonl"))
    turn = dataclasses.replace(record.turns[0], boxes_px_xyxy=(box,))
    write_records(out / "records.jsonl", [dataclasses.replace(record, turns=(turn,))])
    return Pages([PageSource(str(out / "records.jsonl"), str(folder))])


def test_an_answer_as_large_as_its_page(folder: Path, tmp_path: Path) -> None:
    record = next(read_records(folder / "records.jsonl"))
    width, height = Image.open(folder / record.images[0]).size
    pages = with_box(folder, tmp_path, (0.0, 0.0, float(width), float(height)))
    _, views = only("window").batch(Random(0), pages)
    assert views[0].questions
    with pytest.raises(DataError, match="no answer of 40 batches of pages fits into a crop"):
        only("zoom").batch(Random(0), pages)


def test_an_answer_off_its_page_is_named(folder: Path, tmp_path: Path) -> None:
    pages = with_box(folder, tmp_path, (0.0, 0.0, 90000.0, 90000.0))
    with pytest.raises(DataError, match="lies off the picture; run qzoom data check --decode"):
        only("window").batch(Random(0), pages)
