"""The demo page without Gradio: visits, answers, pictures, HTML, the fence, the login."""

import asyncio
import base64
import io
import json
import re
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from tests.tiny_chat import chat_model, counting, picture

from qzoom.cli import main
from qzoom.errors import ConfigError, DataError, ImageError, PromptError
from qzoom.ui import visit as visit_module
from qzoom.ui.events import on_picture, on_question
from qzoom.ui.fence import Fence, open_to
from qzoom.ui.gallery import find_examples, read_examples
from qzoom.ui.numbers import gate_html, percent, tokens_html
from qzoom.ui.panels import BOX_COLOURS
from qzoom.ui.pictures import crop_of, data_uri, looked_at
from qzoom.ui.results import escaped, result
from qzoom.ui.server import read_login
from qzoom.ui.visit import KEPT_QUESTIONS, MAX_QUESTION_CHARS, Step, answer_steps, open_visit
from qzoom.zoom.answer import ZoomAnswer

QUESTION = "what is the total?"
TOKENS = 6


@pytest.fixture(autouse=True)
def short_answers(monkeypatch):
    monkeypatch.setattr(visit_module, "MAX_NEW_TOKENS", TOKENS)


@pytest.fixture
def zooming():
    """Looks closer at everything."""
    return chat_model("qwen3_vl", gate_threshold=0.0, roi_threshold=0.0)


@pytest.fixture
def plain():
    return chat_model("qwen3_vl", region=False)


def make_answer(**changes):
    fields = {
        "text": "84",
        "zoomed": True,
        "gate_probability": 0.9,
        "boxes_xyxy_px": [(60, 40, 100, 80)],
        "heatmap": torch.tensor([[0.0, 0.0], [0.0, 0.3]]),
        "image_index": 0,
        "token_ids": [1],
        "usage": {"visual_tokens": 16, "roi_tokens": 9},
        "timings_s": {"total": 0.25},
    }
    return ZoomAnswer(**{**fields, **changes})


def test_an_answer_streams_then_is_compared(zooming):
    visit = open_visit(zooming, picture())
    steps = list(answer_steps(visit, f"  {QUESTION} "))
    assert steps[0] == Step(QUESTION, "")
    writing = [step.text for step in steps if step.answer is None]
    assert len(writing) > 2
    assert all(after.startswith(before) for before, after in pairwise(writing))
    done, compared = steps[-2:]
    offline = zooming.open(picture()).ask(QUESTION, max_new_tokens=TOKENS)
    assert done.text == offline.text
    assert done.answer.boxes_xyxy_px == offline.boxes_xyxy_px
    assert done.other is None
    assert (compared.answer.zoomed, compared.other.zoomed) == (True, False)
    direct = zooming.open(picture()).ask(QUESTION, zoom="never", max_new_tokens=TOKENS)
    assert compared.other.text == direct.text


def test_a_direct_answer_is_compared_with_a_closer_look():
    model = chat_model("qwen3_vl", gate_threshold=1.0, roi_threshold=0.0)
    *_, step = answer_steps(open_visit(model, picture()), QUESTION)
    assert (step.answer.zoomed, step.other.zoomed) == (False, True)


def test_questions_share_the_opened_picture(zooming):
    with counting(zooming) as counts:
        visit = open_visit(zooming, picture())
    assert counts.images >= 1
    with counting(zooming) as counts:
        list(answer_steps(visit, QUESTION))
        list(answer_steps(visit, "what is the title?"))
    # Crops may be encoded; the picture itself is not, nor are its cells run again.
    assert counts.images <= 2
    cells = visit.session.model.grid_of(visit.session.images[0])
    assert counts.region_cells < cells[0] * cells[1]


def test_a_plain_backbone_answers_without_comparison(plain):
    visit = open_visit(plain, picture())
    *_, step = answer_steps(visit, QUESTION)
    assert step.other is None
    shown = result(visit, step)
    assert "not asked" in shown
    assert "qz-versus" not in shown
    assert "to compare" not in shown


@pytest.mark.parametrize("question", ["", " \n", "x" * (MAX_QUESTION_CHARS + 1)])
def test_questions_that_cannot_be_asked(zooming, question):
    with pytest.raises(PromptError, match="question"):
        list(answer_steps(open_visit(zooming, picture()), question))


def test_pictures_pass_the_one_gate(zooming, tmp_path):
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(ImageError, match="not a readable image"):
        open_visit(zooming, tmp_path / "text.png")
    with pytest.raises(ImageError, match="28 px"):
        open_visit(zooming, picture(27, 100))
    assert open_visit(zooming, picture(640, 320)).full_tokens == 20 * 10


def test_events_turn_errors_into_messages(zooming):
    *_, shown = on_picture(zooming, b"<script>")
    assert shown.visit is None
    assert 'role="alert"' in shown.html
    *_, shown = on_question(None, QUESTION)
    assert "no picture yet" in shown.html
    *_, shown = on_picture(zooming, None)
    assert shown.visit is None


def test_earlier_questions_are_listed_and_bounded(zooming):
    *_, shown = on_picture(zooming, picture())
    for number in range(KEPT_QUESTIONS + 2):
        *_, shown = on_question(shown.visit, f"what is {number}?")
    asked = [step.question for step in shown.visit.asked]
    assert asked == [f"what is {number}?" for number in range(2, KEPT_QUESTIONS + 2)]
    listed = re.findall(r"<li><span>(.*?)</span>", shown.html)
    assert listed == [f"what is {number}?" for number in range(KEPT_QUESTIONS, 0, -1)]


def test_overlay_shows_heat_and_box():
    source = Image.new("RGB", (120, 90), (200, 200, 200))
    heat, plain = (np.asarray(looked_at(source, make_answer(), heat=on)) for on in (True, False))
    assert heat.shape == plain.shape == (450, 600, 3)
    for shown in (heat, plain):
        rows, cols = np.nonzero((shown == BOX_COLOURS[0]).all(axis=-1))
        # Box (60, 40, 100, 80) at five times its size.
        assert (cols.min(), rows.min()) == (300, 200)
        assert (cols.max(), rows.max()) == (499, 399)
    assert (plain[10, 10] == 200).all()
    assert heat[440, 590].sum() > heat[10, 10].sum() + 200


def test_crop_and_its_address():
    source = Image.new("RGB", (120, 90), (10, 20, 200))
    crop = crop_of(source, make_answer())
    assert crop.size == (560, 560)
    assert crop_of(source, make_answer(boxes_xyxy_px=[])) is None
    head, _, data = data_uri(crop).partition(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as read:
        assert read.size == crop.size


def test_text_cannot_become_markup_or_template(zooming):
    hostile = "<img src=x onerror=alert(1)>${alert(1)}{{alert}}`\\"
    shown = escaped(hostile)
    assert not set("<>{}$`\\\"'") & set(shown)
    visit = open_visit(zooming, picture())
    step = Step(hostile, hostile, make_answer(text=hostile), make_answer(zoomed=False))
    page = result(visit.with_step(step), step)
    assert "<img src=x" not in page
    assert not set("{}$`") & set(page)


def test_result_names_both_ways(zooming):
    visit = open_visit(zooming, picture())
    direct = make_answer(text="80", zoomed=False, boxes_xyxy_px=[], heatmap=None)
    page = result(visit, Step(QUESTION, "84", make_answer(), direct))
    assert page.index("qz-answer") < page.index("Where it looked") < page.index("qz-meter")
    cells = re.findall(r"<td[^>]*>(?:<b>)?([^<]*)", page)
    assert cells[1:5] == ["80", "84", "25", "25"]
    assert "With zoom (given)" in page
    other = make_answer()
    page = result(visit, Step(QUESTION, "80", make_answer(zoomed=False, heatmap=None), other))
    assert "Where a closer look would go" in page
    assert "Direct (given)" in page


def test_numbers_in_words():
    assert [percent(share) for share in (0, 0.0037, 0.05, 0.384, 0.9999)] == [
        "under 0.1 %", "0.4 %", "5.0 %", "38 %", "over 99.9 %"
    ]  # fmt: skip
    assert "left:25.0%" in gate_html(0.5, 0.25)
    assert "75 % saved" in tokens_html(make_answer(), 100)
    assert "none saved" in tokens_html(make_answer(), 25)


def test_examples_are_real(tmp_path):
    examples = find_examples()
    assert len(examples) == 8
    assert all(example.image.is_file() and len(example.questions) == 3 for example in examples)
    (tmp_path / "questions.json").write_text(json.dumps([{"image": "../a.png", "question": "q"}]))
    with pytest.raises(DataError, match="bare file names"):
        read_examples(tmp_path)
    (tmp_path / "questions.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        read_examples(tmp_path)


@pytest.mark.parametrize(
    ("method", "path", "is_open"),
    [
        ("GET", "/", True),
        ("GET", "/assets/index.js", True),
        ("POST", "/gradio_api/queue/join", True),
        ("GET", "/gradio_api/file=/tmp/x/a.png", True),
        ("GET", "/gradio_api/file=/tmp/../etc/passwd", False),
        ("GET", "/gradio_api/info", False),
        ("GET", "/gradio_api/openapi.json", False),
        ("GET", "/gradio_api/proxy=https://example.org", False),
        ("POST", "/gradio_api/call/asked", False),
        ("POST", "/gradio_api/run/asked", False),
        ("POST", "/gradio_api/component_server", False),
        ("POST", "/gradio_api/vibe-edit", False),
        ("GET", "/monitoring", False),
        ("POST", "/", False),
        ("DELETE", "/gradio_api/upload", False),
    ],
)
def test_only_the_page_is_open(method, path, is_open):
    assert open_to(method, path) is is_open


@pytest.mark.parametrize(
    ("host", "path", "status"),
    [("localhost:1", "/", 200), ("evil.example", "/", 403), ("localhost", "/monitoring", 404)],
)
def test_the_fence_answers(host, path, status):
    scope = {"type": "http", "method": "GET", "path": path}
    assert fence_status(scope | {"headers": [(b"host", host.encode())]}) == status


def fence_status(scope):
    """What the fence answers before a page that answers 200 to everything."""

    async def page(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(Fence(page, local_only=True)(scope, None, send))
    policy = dict(sent[0]["headers"]).get(b"content-security-policy", b"")
    assert (b"default-src 'self'" in policy) is (sent[0]["status"] == 200)
    return sent[0]["status"]


@pytest.mark.parametrize(
    ("length", "status"), [(b"65536", 200), (b"65537", 413), (None, 413), (b"-1", 413)]
)
def test_events_are_small(length, status):
    headers = [(b"host", b"localhost")] + ([(b"content-length", length)] if length else [])
    scope = {"type": "http", "method": "POST", "path": "/gradio_api/queue/join"}
    assert fence_status(scope | {"headers": headers}) == status


def test_an_address_that_others_reach_needs_a_login():
    assert read_login("127.0.0.1", "") is None
    assert read_login("0.0.0.0", "ann:correct horse") == ("ann", "correct horse")
    for host, text, message in (
        ("0.0.0.0", "", "QZOOM_DEMO_LOGIN=NAME:PASSWORD"),
        ("0.0.0.0", "ann", "not of the form"),
        ("127.0.0.1", "ann:short", "has 5 characters; give at least 12"),
    ):
        with pytest.raises(ConfigError, match=message):
            read_login(host, text)


def test_missing_gradio_is_one_line(monkeypatch, capsys):
    # find_spec gives None for a name that is None here.
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["demo"]) == 2
    assert capsys.readouterr().err == "qzoom: gradio is missing; pip install 'qzoom[demo]'\n"
