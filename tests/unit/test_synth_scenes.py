"""Scenes: every answer is really printed where the question says, and only one answer is right."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qzoom.synth import canvas as canvas_module
from qzoom.synth import cards, drawing, fonts, tables, windows
from qzoom.synth.canvas import Canvas, Question, SizeMix
from qzoom.synth.drawing import PrintedText
from qzoom.synth.lexicon import COLOURS, SHAPES, TABLE_TITLES, WORDS
from qzoom.synth.world import CANVASES_PX, KINDS, Scene, make_scene, scene_of

SOURCE = Path(__file__).resolve().parents[2] / "src"
EASY = SizeMix(0.15, 0.2, 0.65)
SCENES = 40


def scenes(kind: str, count: int = SCENES) -> Iterator[Scene]:
    for seed in range(count):
        sizes = EASY if seed % 2 else None
        yield make_scene(Random(f"test/{kind}/{seed}"), kind=kind, sizes=sizes)


@pytest.fixture
def prints(monkeypatch: pytest.MonkeyPatch) -> list[tuple[PrintedText, Image.Image]]:
    """Every run printed from now on, with a copy of its box as it looked right after printing."""
    seen: list[tuple[PrintedText, Image.Image]] = []

    def spy(draw: Any, *args: Any) -> PrintedText:
        printed = drawing.print_text(draw, *args)
        seen.append((printed, draw._image.crop(printed.box_px_xyxy)))
        return printed

    for module in (canvas_module, cards, tables):
        monkeypatch.setattr(module, "print_text", spy)
    return seen


@pytest.mark.parametrize("kind", KINDS)
def test_every_answer_stands_in_its_box_and_nothing_covers_it(
    kind: str, prints: list[tuple[PrintedText, Image.Image]]
) -> None:
    for scene in scenes(kind):
        width, height = scene.image.size
        at = {printed.box_px_xyxy: (printed, cut) for printed, cut in prints}
        for question in scene.questions:
            box = question.box_px_xyxy
            if question.size_units is None or box is None:
                continue
            printed, cut = at[box]
            assert printed.text.lower() == question.answer
            assert printed.size_px == pytest.approx(question.size_units * scene.unit_px)
            assert 0 <= box[0] < box[2] <= width
            assert 0 <= box[1] < box[3] <= height
            now = scene.image.crop([int(edge) for edge in box])  # type: ignore[arg-type]
            assert now.tobytes() == cut.tobytes(), f"{question} was drawn over"
            assert np.asarray(now.convert("L"), float).std() > 15, f"{question} cannot be seen"
        prints.clear()


@pytest.mark.parametrize("face", [*fonts.TRAIN_FACES, *fonts.HELDOUT_FACES], ids=lambda f: f[2])
@pytest.mark.parametrize("size_px", [12, 31])
def test_boxes_fit_the_ink(face: tuple[str, str, str], size_px: int) -> None:
    font = fonts.load_face(face, size_px)
    for text in ("QUARTZ", "JELLY", "1", "4207"):
        image = Image.new("RGB", (300, 60))
        draw = canvas_module.ImageDraw.Draw(image)
        printed = drawing.print_text(draw, font, text, (20.4, 9.6), (255, 255, 255))
        ink = image.getbbox()
        assert ink is not None
        x1, y1, x2, y2 = printed.box_px_xyxy
        assert (x1, y1) == (20, 10)
        assert y1 <= ink[1] <= y1 + 1
        assert y2 - 1 <= ink[3] <= y2
        # Across, Pillow counts the blank beside the first and last glyph.
        assert x1 <= ink[0] <= x1 + 1 + 0.2 * size_px
        assert x2 - 1 - 0.2 * size_px <= ink[2] <= x2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [None, EASY], ids=["usual", "easy"])
def test_a_question_has_one_answer(kind: str, sizes: SizeMix | None) -> None:
    for seed in range(60):
        scene = make_scene(Random(f"unique/{kind}/{seed}"), kind=kind, sizes=sizes)
        texts = Counter(question.text for question in scene.questions)
        assert max(texts.values()) == 1, f"{kind} {seed} asks {texts.most_common(1)} twice"


def by_kind(scene: Scene) -> dict[str, list[Question]]:
    groups: dict[str, list[Question]] = {}
    for question in scene.questions:
        groups.setdefault(question.kind, []).append(question)
    return groups


def test_questions_about_a_whole_picture_agree_with_what_is_printed() -> None:
    for scene in scenes("chart"):
        groups = by_kind(scene)
        values = {q.text.split()[-2]: int(q.answer) for q in groups["chart_value"]}
        assert len(set(values.values())) == len(values)
        assert groups["tallest"][0].answer == max(values, key=lambda colour: values[colour])
    for scene in scenes("table"):
        groups = by_kind(scene)
        total = sum(int(q.answer) for q in groups["table_value"])
        assert groups["table_total"][0].answer == str(total)
    for scene in scenes("signs"):
        groups = by_kind(scene)
        reading = [*groups.get("sign_word", []), *groups.get("sign_number", [])]
        shown = {q.text.split()[-2] for q in reading}
        assert groups["count"][0].answer == str(len(shown))
        probed = groups["exists"][0].text.split()[-2]
        assert groups["exists"][0].answer == ("yes" if probed in shown else "no")
    for scene in scenes("cards"):
        for question in scene.questions:
            allowed = {"colour": set(COLOURS), "shape": set(SHAPES)}.get(question.kind)
            assert allowed is None or question.answer in allowed


def test_names_of_the_world_are_distinct() -> None:
    names = [*WORDS, *COLOURS, *SHAPES, *TABLE_TITLES, "yes", "no", "total"]
    assert len(set(names)) == len(names)
    assert all(name.isascii() and name.islower() for name in names)


def digest(scene: Scene) -> str:
    told = repr((scene.questions, scene.kind, scene.unit_px))
    return hashlib.sha256(scene.image.tobytes() + told.encode()).hexdigest()


def test_a_seed_gives_the_same_scene_in_every_process() -> None:
    code = (
        "from tests.unit.test_synth_scenes import digest, scene_of\n"
        "print(*(digest(scene_of(seed)) for seed in range(6)))"
    )
    here = [digest(scene_of(seed)) for seed in range(6)]
    assert len(set(here)) == 6
    for hash_seed in ("0", "77"):
        environment = {
            **os.environ,
            "PYTHONHASHSEED": hash_seed,
            "PYTHONPATH": f"{SOURCE}{os.pathsep}{SOURCE.parent}",
        }
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == here


def test_splits_and_names_draw_other_scenes() -> None:
    assert digest(scene_of(0, "heldout")) != digest(scene_of(0)) != digest(scene_of(0, name="eval"))


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Packages of the faces loaded from now on."""
    seen: set[str] = set()

    def spy(face: tuple[str, str, str], size_px: int) -> Any:
        seen.add(face[0])
        return fonts.load_face(face, size_px)

    for module in (canvas_module, windows):
        monkeypatch.setattr(module, "load_face", spy)
    return seen


def test_the_heldout_family_is_never_trained_on(packages: set[str]) -> None:
    for seed in range(40):
        scene_of(seed, "train")
        windows.make_window(Random(seed), 2, 2)
    assert "font_roboto" not in packages
    assert len(packages) > 4
    packages.clear()
    for seed in range(10):
        scene_of(seed, "heldout")
    assert packages == {"font_roboto"}


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_every_face_of_a_split_is_installed(split: fonts.FontSplit) -> None:
    for face in fonts.faces(split):
        assert fonts.face_path(*face).is_file()
    assert not {face[0] for face in fonts.TRAIN_FACES} & {face[0] for face in fonts.HELDOUT_FACES}


def test_print_never_falls_below_the_smallest_size() -> None:
    canvas = canvas_module.blank_canvas(Random(0), (512, 512), SizeMix(), "train")
    assert canvas.unit_px == 2.0
    assert canvas.font(1.0).size == canvas_module.SMALLEST_PRINT_PX
    assert canvas.font(14.0).size == 28


@pytest.mark.parametrize("share", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)])
def test_size_mix_keeps_to_its_ranges(share: tuple[float, float, float]) -> None:
    mix, rng = SizeMix(*share), Random(3)
    low, high = mix.ranges_units[share.index(1.0)]
    assert all(low <= mix.pick(rng) <= high for _ in range(50))


def test_places_do_not_touch() -> None:
    canvas = Canvas(Image.new("RGB", (400, 300)), 1.0, Random(1), SizeMix())
    assert canvas.place(396, 20, 3.0) is None
    while canvas.place(60, 50, 3.0):
        pass
    assert len(canvas.taken) > 8
    for index, box in enumerate(canvas.taken):
        assert box[0] >= 3
        assert box[2] <= 397
        assert not any(drawing.overlaps(box, other, 3.0) for other in canvas.taken[:index])


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_fill_their_box_and_stay_inside(shape: str) -> None:
    image = Image.new("RGB", (80, 60))
    draw = canvas_module.ImageDraw.Draw(image)
    box = drawing.draw_shape(draw, shape, (40, 30), 20, (255, 255, 255))
    assert box == (20, 10, 60, 50)
    inked = image.getbbox()
    assert inked is not None
    # Pillow draws both ends of a span, one pixel beyond the exclusive edge.
    assert all(abs(a - b) <= 5 for a, b in zip(inked, box, strict=True))
    assert inked[0] >= 20
    assert inked[1] >= 10
    assert inked[2] <= 61
    assert inked[3] <= 51


def test_unknown_shapes_are_refused() -> None:
    draw = canvas_module.ImageDraw.Draw(Image.new("RGB", (8, 8)))
    with pytest.raises(ValueError, match="unknown shape 'blob'"):
        drawing.draw_shape(draw, "blob", (4, 4), 3, (0, 0, 0))


def test_canvases_are_whole_cells() -> None:
    assert all(side % 32 == 0 for size in CANVASES_PX for side in size)
