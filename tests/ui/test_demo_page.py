"""The demo page as served by Gradio, over HTTP and in a headless Chromium."""

import asyncio
import json
import shutil
import urllib.error
import urllib.request
import uuid
from types import SimpleNamespace

import pytest
from tests.ui.demo_process import ROOT, demo

from qzoom.errors import ImageError

pytest.importorskip("gradio", reason="gradio is not installed; pip install 'qzoom[demo]'")

WAIT_MS = 60_000
PICTURE = str(ROOT / "tests" / "parity" / "data" / "qwen3_vl-large" / "q3-61-00.png")
LOGIN = "ann:correct horse"
# Collects every text that the answer had while it was being written.
WATCH = """() => {
  window.written = [];
  new MutationObserver(() => {
    const said = document.querySelector('.qz-said[aria-busy=true] .qz-answer');
    if (said && window.written.at(-1) !== said.innerText) window.written.push(said.innerText);
  }).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""


@pytest.fixture(scope="module")
def address():
    with demo() as url:
        yield url


@pytest.fixture
def tab(address):
    """A page of a fresh browser, with the addresses it asked for."""
    api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed; pip install playwright"
    )
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium on the PATH; the page is not looked at in a browser")
    with api.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.set_default_timeout(WAIT_MS)
        page.asked_for = []
        page.on("request", lambda request: page.asked_for.append(request.url))
        page.goto(address)
        page.wait_for_selector("#qz-gallery button")
        yield page
        browser.close()


def status_of(url, body=None, **headers):
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_example_question_answer_and_box(tab, address):
    tab.locator("#qz-gallery button").first.click()
    tab.wait_for_selector("text=Picture read")
    tab.evaluate(WATCH)
    question = tab.locator("#qz-question textarea, #qz-question input").first
    question.fill("what is the total?")
    question.press("Enter")
    tab.wait_for_selector(".qz-versus")
    assert tab.locator(".qz-answer").inner_text() == "84"
    assert "84".startswith(tab.evaluate("window.written.filter(text => text)[0]"))
    loaded = "image => image.complete && image.naturalWidth > 100"
    assert tab.locator(".qz-heat").evaluate(loaded)
    assert tab.locator(".qz-crop img").evaluate(loaded)
    assert tab.locator(".qz-versus td:not(:empty)").first.inner_text() == "80"
    tab.locator(".qz-toggle input").press("Space")
    assert tab.locator(".qz-plain").is_visible()
    assert not tab.locator(".qz-heat").is_visible()
    tab.locator(".qz-chip").nth(1).click()
    tab.wait_for_selector(".qz-earlier")
    assert "what is the total?" in tab.locator(".qz-earlier").inner_text()
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    outside = [url for url in tab.asked_for if not url.startswith((address, "data:", "blob:"))]
    assert outside == []


def test_an_upload_is_read_and_taken_away(tab):
    tab.locator("#qz-picture input[type=file]").first.set_input_files(
        ROOT / "examples" / "street.png"
    )
    tab.wait_for_selector("text=Picture read (1024 x 768 px")
    tab.locator("#qz-question textarea, #qz-question input").first.fill("how many signs are there?")
    tab.locator("#qz-go").click()
    tab.wait_for_selector(".qz-versus")
    assert tab.locator(".qz-answer").inner_text() == "4"
    tab.locator("#qz-picture button[title='Remove Image']").click()
    tab.wait_for_selector("text=Choose an example or drop a picture")


def test_a_picture_that_is_none_gives_a_message(tab, tmp_path):
    (tmp_path / "fake.png").write_text("hello")
    tab.locator("#qz-picture input[type=file]").first.set_input_files(tmp_path / "fake.png")
    tab.wait_for_selector(".qz-problem")
    assert "not a readable image" in tab.locator(".qz-problem").inner_text()


@pytest.mark.parametrize(
    "path",
    ["info", "openapi.json", "run/asked", "call/asked", "proxy=https://example.org/", "vibe-code"],
)
def test_the_interface_for_programs_is_closed(address, path):
    assert status_of(f"{address}/gradio_api/{path}")[0] == 404
    assert status_of(f"{address}/gradio_api/{path}", b"{}")[0] == 404


def test_files_outside_and_foreign_names_are_refused(address):
    readme = ROOT / "README.md"
    assert status_of(f"{address}/gradio_api/file={readme}")[0] in (403, 404)
    assert status_of(f"{address}/gradio_api/file=/etc/passwd")[0] in (403, 404)
    assert status_of(address, Host="evil.example")[0] == 403


@pytest.mark.parametrize("component", ["qz-picture", "qz-question"])
@pytest.mark.parametrize("place", ["http://127.0.0.1:9/a.png", "/etc/hostname", PICTURE])
def test_no_address_is_fetched_and_no_file_read(address, component, place):
    # Both inputs: Gradio moves a file that any of them names, were it a line of text.
    body = send_event(address, component, {"path": place, "meta": {"_type": "gradio.FileData"}})
    assert b'"success":false' in body
    assert b"Reading the picture" not in body


def test_inputs_refuse_addresses_before_gradio_sees_them():
    from qzoom.ui.page import _closed

    moved = []

    async def move(place):
        moved.append(place)

    component = _closed(SimpleNamespace(async_move_resource_to_block_cache=move))
    asyncio.run(component.async_move_resource_to_block_cache("/tmp/a.png"))
    for place in ("https://example.org/a.png", "HTTP://example.org/a.png", "ftp://a/b.png"):
        with pytest.raises(ImageError, match="not fetched from URLs"):
            asyncio.run(component.async_move_resource_to_block_cache(place))
    assert moved == ["/tmp/a.png"]


def test_an_event_that_is_allowed_runs(address):
    assert b"There is no picture yet" in send_event(address, "qz-question", "what is it?")


def send_event(address, component, value):
    """What the page answers to the event that reads a component."""
    config = json.loads(status_of(f"{address}/config")[1])
    (number,) = (c["id"] for c in config["components"] if c["props"].get("elem_id") == component)
    event = next(d for d in config["dependencies"] if number in d["inputs"])
    data = [value if place == number else None for place in event["inputs"]]
    session = uuid.uuid4().hex
    sent = {"data": data, "fn_index": event["id"], "session_hash": session}
    header = {"Content-Type": "application/json"}
    code, _ = status_of(f"{address}/gradio_api/queue/join", json.dumps(sent).encode(), **header)
    assert code == 200
    return status_of(f"{address}/gradio_api/queue/data?session_hash={session}")[1]


def test_uploads_are_bounded(address):
    body = b"\r\n".join(
        [
            b"--x",
            b'Content-Disposition: form-data; name="files"; filename="a.png"',
            b"Content-Type: image/png",
            b"",
            b"0" * 20_100_000,
            b"--x--",
            b"",
        ]
    )
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert status_of(f"{address}/gradio_api/upload", body, **headers)[0] == 413


def test_a_login_guards_the_page():
    with demo(QZOOM_DEMO_LOGIN=LOGIN) as url:
        assert status_of(f"{url}/config")[0] == 401
        assert status_of(f"{url}/gradio_api/upload", b"")[0] == 401
        wrong = b"username=ann&password=wrong"
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert status_of(f"{url}/login", wrong, **form)[0] == 400
        right = b"username=ann&password=correct+horse"
        assert status_of(f"{url}/login", right, **form)[0] == 200
