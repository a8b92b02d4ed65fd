"""Questions about pages of words, and what of a page is shown."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from PIL import Image, ImageDraw

from qzoom.data.page_questions import page_readings
from qzoom.data.page_views import draw_readings, has_ink, pixel_box, shifted, window_around
from qzoom.data.reading_questions import Reading
from qzoom.data.records import Turn
from qzoom.data.text_layout import Printed, on_one_row
from qzoom.geometry.boxes import Box


def line(text: str, row: int = 0, start: float = 0, height: float = 12) -> list[Printed]:
    """Words of 8 px a letter with spaces of 8 px; a tab is a gap of 40 px."""
    words, x, y = [], start, 20.0 * row
    for cell in text.split("\t"):
        for word in cell.split(" "):
            words.append(Printed(word, (x, y, x + 8 * len(word), y + height)))
            x += 8 * len(word) + 8
        x += 32
    return words


def asked(*lines: Sequence[Printed]) -> dict[str, str]:
    return {r.turn.question: r.turn.answers[0] for r in page_readings(lines)}


def test_words_and_numbers_after_two_words() -> None:
    assert asked(line("The quick (brown) fox, was 3.50 wide")) == {
        'what word comes after "The quick"?': "brown",
        'what word comes after "quick (brown)"?': "fox",
        'what word comes after "(brown) fox,"?': "was",
        'what number comes after "fox, was"?': "3.50",
        'what word comes after "was 3.50"?': "wide",
    }
    (first, *_) = page_readings([line("The quick brown", start=10)])
    assert first.turn.boxes_px_xyxy == ((90, 0, 130, 12),)
    assert first.seen_px_xyxy == (10, 0, 130, 12)


def test_two_words_that_come_again_are_not_named() -> None:
    again = asked(line("on the table", 0), line("lay ON the, mat", 1), line("or on", 2))
    assert again == {'what word comes after "lay ON"?': "the"}
    # Also where a line breaks between them.
    split = asked(line("under the table", 0), line("or under", 1), line("the mat", 2))
    assert 'what word comes after "under the"?' not in split


@pytest.mark.parametrize(
    "text",
    [
        "see the exam-",  # goes on in the next line
        "see the x2y",
        "see the a",
        "see the ...",
        "see \"the cat",
        "... - cat",
        f"see the {'x' * 33}",
        f"{'s' * 20} {'t' * 20} cat",
    ],
)  # fmt: skip
def test_what_is_not_asked(text: str) -> None:
    assert asked(line(text), line("other words", 4, 300)) == {}


def test_a_wide_gap_ends_a_cell() -> None:
    found = asked(line("see the\tcat here now"))
    assert found == {
        'what word comes after "cat here"?': "now",
        'what is written next to "see the"?': "cat here now",
    }


def test_small_and_upright_print_is_not_asked() -> None:
    assert asked(line("see the cat", height=7)) == {}
    tall = [*line("see the"), Printed("cat", (64, 0, 72, 30))]
    assert asked(tall) == {}


def test_keys_and_values() -> None:
    found = asked(
        line("Name: Ann", 0), line("Paper size:\tA4 (large)", 2), line("a\tb\tc", 4),
        line("Note: see: this", 6),
    )  # fmt: skip
    assert found == {
        'what is written next to "Name"?': "Ann",
        'what is written next to "Paper size"?': "A4 (large)",
        'what word comes after "Note: see:"?': "this",
    }
    (name, *_) = page_readings([line("Name: Ann")])
    # The value alone, not its key.
    assert name.turn.boxes_px_xyxy == ((48, 0, 72, 12),)


def test_rows() -> None:
    piece = Printed("a", (0, 10, 5, 20))
    assert on_one_row(piece, Printed("b", (9, 15, 12, 40)))
    assert not on_one_row(piece, Printed("b", (9, 16, 12, 40)))


def reading(box: tuple[float, float, float, float], name: str = "a") -> Reading:
    return Reading(Turn(f'what word comes after "{name}"?', ("x",), (box,)), box)


def test_boxes_grow_to_whole_pixels_inside_the_picture() -> None:
    assert pixel_box(reading((1.2, 2.0, 3.1, 9.9)), (100, 9)) == (1, 2, 4, 9)
    picture = Image.new("RGB", (100, 40), "white")
    ImageDraw.Draw(picture).rectangle((10, 10, 12, 20), fill=(180, 180, 180))
    assert has_ink(picture, Box(5, 5, 20, 30))
    assert not has_ink(picture, Box(30, 5, 60, 30))
    assert not has_ink(picture, Box(60, 5, 60, 30))


def test_a_window_shows_a_question_in_full() -> None:
    readings = [reading((300, 400, 340, 412), "a"), reading((320, 430, 330, 440), "b")]
    assert window_around(readings, (600, 800), None, "s") == (0, 0, 600, 800)
    windows = {window_around(readings, (600, 800), 100, f"seed {n}") for n in range(30)}
    assert len(windows) > 10
    for window in windows:
        assert (window.width, window.height) == (100, 100)
        turns = list(shifted(readings, window))
        assert turns
        for turn in turns:
            (box,) = turn.boxes_px_xyxy
            assert 0 <= box[0] < box[2] <= 100
            assert 0 <= box[1] < box[3] <= 100
    (only,) = shifted(readings, Box(290, 390, 390, 425))
    assert only.boxes_px_xyxy == ((10, 10, 50, 22),)
    assert window_around(readings, (50, 80), 100, "s") == (0, 0, 50, 80)


def test_drawn_questions_are_of_every_kind_and_in_page_order() -> None:
    words = [Turn(f'what word comes after "{n}"?', ("x",)) for n in range(20)]
    numbers = [Turn(f'what number comes after "{n}"?', ("1",)) for n in range(2)]
    drawn = draw_readings(iter([*words, *numbers]), 5, "s")
    assert len(drawn) == 5
    assert set(numbers) < set(drawn)
    assert [turn for turn in words if turn in drawn] == list(drawn[:3])
    assert drawn == draw_readings(iter([*words, *numbers]), 5, "s")
    assert drawn != draw_readings(iter([*words, *numbers]), 5, "t")
