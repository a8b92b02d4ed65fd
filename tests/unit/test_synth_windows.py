"""Windows of print: their labels say which glyph, word and number has its centre where."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from PIL import Image, ImageDraw

from qzoom.errors import ConfigError
from qzoom.synth import fonts
from qzoom.synth.drawing import PrintedText, print_text
from qzoom.synth.lexicon import COLOURS, SHAPES, WORDS
from qzoom.synth.window_labels import (
    CELL_PX,
    GLYPHS,
    IGNORE,
    NUMBER_SLOTS,
    PATCH_PX,
    ShapeMark,
    WindowLabels,
    label_window,
)
from qzoom.synth.windows import Sheet, make_window, random_number


def printed(text: str, x: float, y: float, advance: float = 10.0) -> PrintedText:
    """A run of glyphs of one width, 12 high, with its ink from (x, y) on."""
    centres = tuple((x + (i + 0.5) * advance, y + 6) for i in range(len(text)))
    return PrintedText(text, (x, y, x + advance * len(text), y + 12), centres, 12)


def label(
    prints: list[PrintedText], rows: int, cols: int, marks: Sequence[ShapeMark] = ()
) -> WindowLabels:
    return label_window(prints, marks, Image.new("L", (cols * CELL_PX, rows * CELL_PX)))


def test_glyphs_are_labelled_where_their_centres_are() -> None:
    labels = label([printed("OWL", 8, 18)], 2, 2)
    # Centres at x 13, 23 and 33 and y 24: half patches are 8 wide and 16 high.
    assert labels.glyphs.shape == (4, 8)
    expected = np.zeros((4, 8), np.int64)
    expected[1, [1, 2, 4]] = [GLYPHS.index(letter) for letter in "OWL"]
    np.testing.assert_array_equal(labels.glyphs, expected)


def test_two_glyphs_in_one_half_patch_are_left_out() -> None:
    labels = label([printed("OWL", 0, 0, advance=2.0)], 1, 1)
    assert labels.glyphs[0, 0] == IGNORE
    assert np.count_nonzero(labels.glyphs) == 1


def test_words_and_numbers_are_labelled_by_cell() -> None:
    labels = label([printed("OWL", 2, 4), printed("307", 66, 40)], 2, 4)
    assert labels.words[0, 0] == 1 + WORDS.index("owl")
    assert labels.digits[1, 2].tolist() == [4, 1, 8, 0]
    assert np.count_nonzero(labels.words) == 1
    assert np.count_nonzero(labels.digits[..., 0]) == 1


def test_a_cell_with_two_runs_is_left_out() -> None:
    labels = label([printed("OWL", 0, 0), printed("12", 4, 16)], 1, 1)
    assert labels.words[0, 0] == IGNORE
    assert labels.digits[0, 0].tolist() == [IGNORE] * NUMBER_SLOTS


@pytest.mark.parametrize("x", [-4.0, 12.0])
def test_a_run_that_leaves_the_window_is_left_out(x: float) -> None:
    labels = label([printed("OWL", x, 4)], 1, 1)
    assert labels.words[0, 0] == IGNORE


def test_a_run_centred_outside_counts_nowhere() -> None:
    labels = label([printed("OWL", -28, 4), printed("77", 0, -20)], 1, 1)
    assert not labels.words.any()
    assert not labels.digits.any()
    assert np.count_nonzero(labels.glyphs) == 0


def test_shapes_are_labelled_by_the_cell_of_their_centre() -> None:
    marks = [("star", (40.0, 10.0)), ("cross", (5.0, 40.0)), ("circle", (30.0, 50.0))]
    labels = label([], 2, 2, [*marks, ("circle", (-3.0, 5.0))])
    assert labels.shapes.tolist() == [[0, 1 + SHAPES.index("star")], [IGNORE, 0]]


def test_tones_are_those_at_the_patch_centres() -> None:
    sheet = Sheet(Random(1), 2 * CELL_PX, CELL_PX, (11.0, 26.0))
    sheet.mark((16.0, 16.0), 15.0)
    labels = label_window(sheet.prints, sheet.marks, sheet.tones)
    assert labels.tones.shape == (2, 4)
    for (i, j), tone in np.ndenumerate(labels.tones):
        seen = sheet.image.getpixel((j * PATCH_PX + 8, i * PATCH_PX + 8))
        assert isinstance(seen, tuple)
        if tone:
            named = COLOURS[sorted(COLOURS)[tone - 1]]
            assert max(abs(a - b) for a, b in zip(seen, named, strict=True)) <= 20
        else:
            assert max(seen) - min(seen) <= 24


@pytest.mark.parametrize("face", [fonts.TRAIN_FACES[0], fonts.TRAIN_FACES[7]])
@pytest.mark.parametrize("size_px", [12, 24])
def test_glyph_centres_lie_on_the_ink_of_their_glyph(
    face: tuple[str, str, str], size_px: int
) -> None:
    font, text = fonts.load_face(face, size_px), "HARBOR"

    def drawn(length: int) -> np.ndarray:
        image = Image.new("RGB", (200, 40))
        run = text[:length]
        left, top, *_ = font.getbbox(text)
        ImageDraw.Draw(image).text((10 - left, 8 - top), run, font=font, fill=(255, 255, 255))
        return np.asarray(image.convert("L"), float)

    image = Image.new("RGB", (200, 40))
    run = print_text(ImageDraw.Draw(image), font, text, (10, 8), (255, 255, 255))
    np.testing.assert_array_equal(np.asarray(image.convert("L"), float), drawn(len(text)))
    for index, (x, y) in enumerate(run.glyph_centres_px):
        ink = np.abs(drawn(index + 1) - drawn(index)) > 100
        rows, cols = ink.nonzero()
        assert abs((cols.min() + cols.max() + 1) / 2 - x) < 0.15 * size_px
        assert rows.min() <= y <= rows.max() + 1


def test_windows_repeat_and_have_the_promised_shapes() -> None:
    first, labels = make_window(Random(4), 3, 5)
    again, same = make_window(Random(4), 3, 5)
    assert first.size == (5 * CELL_PX, 3 * CELL_PX)
    assert first.tobytes() == again.tobytes()
    assert labels.glyphs.shape == (6, 20)
    assert labels.words.shape == (3, 5)
    assert labels.digits.shape == (3, 5, NUMBER_SLOTS)
    np.testing.assert_array_equal(labels.glyphs, same.glyphs)


def test_windows_are_dense_and_their_labels_in_range() -> None:
    rng, glyphs, words, numbers = Random(0), 0, 0, 0
    for _ in range(30):
        _, labels = make_window(rng, 4, 4)
        for values, classes in (
            (labels.glyphs, len(GLYPHS)),
            (labels.words, len(WORDS) + 1),
            (labels.digits, 11),
            (labels.tones, len(COLOURS) + 1),
            (labels.shapes, len(SHAPES) + 1),
        ):
            assert set(values[values < 0].tolist()) <= {IGNORE}
            assert values.max() < classes
        glyphs += int((labels.glyphs > 0).sum())
        words += int((labels.words > 0).sum())
        numbers += int((labels.digits[..., 0] > 0).sum())
    assert glyphs > 30 * 20
    assert words > 30
    assert numbers > 30


def test_random_numbers() -> None:
    numbers = [random_number(Random(seed)) for seed in range(300)]
    assert {1, 2, 3} <= {len(number) for number in numbers} <= set(range(1, NUMBER_SLOTS + 1))
    assert not any(number.startswith("0") for number in numbers)


@pytest.mark.parametrize("package", ["no_such_font_package", "qzoom"])
def test_a_missing_font_is_one_clear_error(package: str) -> None:
    with pytest.raises(ConfigError) as caught:
        fonts.load_face((package, "files", "Gone.ttf"), 12)
    message = str(caught.value)
    assert "Gone.ttf" in message
    assert package.replace("_", "-") in message
    assert "pip install 'qzoom[train]'" in message
    assert "\n" not in message
