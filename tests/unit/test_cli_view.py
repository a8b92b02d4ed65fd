"""The picture of an answer: its parts, its colours and its text."""

import numpy as np
import pytest
import torch
from PIL import Image

from qzoom.cli.captions import drawable, font, wrap
from qzoom.cli.summary import decision, summary_line
from qzoom.cli.view import render_view
from qzoom.ui.heat import colours, overlay, peak
from qzoom.ui.panels import BOX_COLOURS, Panel
from qzoom.zoom.answer import ZoomAnswer

MAX_SIDE_PX = 2400


def make_answer(**changes):
    fields = {
        "text": "tiger",
        "zoomed": False,
        "gate_probability": 0.04,
        "boxes_xyxy_px": [],
        "heatmap": None,
        "image_index": 0,
        "token_ids": [],
    }
    return ZoomAnswer(**{**fields, **changes})


def shown_colours(image):
    return {colour for _, colour in image.getcolors(maxcolors=image.width * image.height)}


def test_colours_run_from_dark_to_bright():
    scale = colours(np.linspace(0, 1, 200))
    luminance = scale @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance) > 0).all()
    assert luminance[0] < 30
    assert luminance[-1] > 220


def test_overlay_is_brightest_at_the_peak():
    map_hw = np.zeros((4, 4), dtype=np.float32)
    map_hw[3, 0] = 0.2
    image = overlay(Image.new("RGB", (80, 80), (128, 128, 128)), map_hw)
    grey = np.asarray(image.convert("L"), dtype=int)
    assert grey[70, 10] > grey[10, 70] + 80
    assert peak(map_hw) == pytest.approx(0.2)


@pytest.mark.parametrize("map_hw", [np.zeros((2, 3)), np.full((1, 1), np.nan)])
def test_overlay_of_an_empty_map(map_hw):
    image = overlay(Image.new("RGB", (30, 20), (255, 255, 255)), map_hw)
    assert len(shown_colours(image)) == 1


def test_direct_answer_shows_the_source_alone():
    source = Image.new("RGB", (300, 200), (10, 200, 30))
    view = render_view(source, "what?", make_answer())
    found = shown_colours(view)
    assert (10, 200, 30) in found
    assert not set(BOX_COLOURS) & found


def test_zoomed_answer_shows_box_and_crop():
    source = Image.new("RGB", (300, 200), (10, 200, 30))
    source.paste((250, 0, 250), (100, 100, 120, 110))
    alone = render_view(source, "what?", make_answer())
    answer = make_answer(
        zoomed=True,
        gate_probability=0.9,
        boxes_xyxy_px=[(100, 100, 120, 110)],
        heatmap=torch.rand(6, 9, dtype=torch.bfloat16, requires_grad=True),
    )
    view = render_view(source, "what?", answer)
    assert view.width > alone.width
    assert BOX_COLOURS[0] in shown_colours(view)
    # The crop is shown far larger than it is in the source.
    magenta = (np.asarray(view) == (250, 0, 250)).all(axis=-1).sum()
    assert magenta > 50 * 20 * 10


@pytest.mark.parametrize("size", [(1, 1), (4000, 10), (10, 4000), (28, 28), (1500, 1400)])
@pytest.mark.parametrize("text", ["", "x" * 5000, "word " * 2000, "\n\n\n", "\u4e2d\U0001f600"])
def test_any_shape_and_text_gives_a_picture_of_bounded_size(size, text):
    boxes = [(0, 0, 1, 1), (0, 0, *size), (0, 0, *size), (size[0] - 1, size[1] - 1, *size)]
    answer = make_answer(text=text, boxes_xyxy_px=boxes, heatmap=torch.rand(3, 2), zoomed=True)
    view = render_view(Image.new("RGB", size), text, answer)
    assert view.mode == "RGB"
    assert max(view.size) < 2 * MAX_SIDE_PX
    assert view.height < MAX_SIDE_PX


@pytest.mark.parametrize(
    "box", [(0, 0, 1, 1), (99, 49, 100, 50), (0, 0, 100, 50), (20, 10, 60, 30)]
)
def test_a_box_stays_visible(box):
    panel = Panel("source", "", Image.new("RGB", (100, 50)), boxes=(box,)).draw((200, 100))
    pixels = (np.asarray(panel) == BOX_COLOURS[0]).all(axis=-1)
    assert pixels.sum() > 100


def test_panel_does_not_distort():
    source = Image.new("RGB", (100, 100), (255, 0, 0))
    panel = Panel("source", "", source).draw((300, 100))
    red = (np.asarray(panel) == (255, 0, 0)).all(axis=-1)
    assert red.any(axis=0).sum() == red.any(axis=1).sum() == 100


def test_wrapped_lines_fit():
    face = font(24)
    text = "a question of many words " * 20 + "w" * 300
    lines = wrap(text, face, 400, max_lines=5)
    assert len(lines) == 5
    assert lines[-1].endswith("...")
    assert all(face.getlength(line) <= 400 for line in lines)
    assert "".join(wrap("w" * 100, face, 400, 20)) == "w" * 100
    assert wrap("one\n\ntwo", face, 400, 5) == ["one", "two"]
    assert wrap("", face, 400, 5) == [""]


def test_drawable_text():
    assert drawable("Caf\u00e9 \u201e3 \u00d7 4\u201c") == 'Cafe "3 x 4"'
    assert drawable("Stra\u00dfe \u2013 \u2014") == "Strasse - -"
    assert drawable("a\x1b[31m\u200bb") == "a[31mb"


def test_summary_says_what_happened():
    assert decision(make_answer()) == "direct, gate 0.04"
    assert decision(make_answer(gate_probability=None)) == "direct"
    assert decision(make_answer(heatmap=torch.rand(2, 2))) == "direct, gate 0.04, no region found"
    assert summary_line(make_answer()) == "direct, gate 0.04"
    two = make_answer(zoomed=True, boxes_xyxy_px=[(0, 0, 1, 2), (3, 4, 5, 6)])
    assert summary_line(two) == "looked closer, gate 0.04 | boxes 0,0,1,2 3,4,5,6 px"
