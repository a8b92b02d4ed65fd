"""Evaluation of a model behind an endpoint, one that misbehaves included."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops
from tests.http_stub import Endpoint, Handler, serving
from tests.tiny_chat import picture

from qzoom.cli import main
from qzoom.errors import ConfigError, ImageError, LabelError
from qzoom.eval.methods.base import Told
from qzoom.eval.methods.endpoint import EndpointMethod, build
from qzoom.eval.methods.registry import MethodOptions
from qzoom.eval.rows import read_results

KEY = "sk-very-secret"
LOOK = {
    "gate_probability": 0.75,
    "zoomed": True,
    "boxes_xyxy_px": [[10, 20, 110.5, 80]],
    "visual_tokens": 64,
    "roi_tokens": 40,
    "timings_s": {"prefill": 0.25, "total": 0.5},
}


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving() as server:
        yield server


def method(endpoint: Endpoint, **extra: Any) -> EndpointMethod:
    given = {"base_url": endpoint.base_url, "model": "vlm-7b", "timeout_s": 20, "max_retries": 2}
    return build(MethodOptions(extra=given | extra))


def ask(endpoint: Endpoint, **extra: Any) -> Told:
    return method(endpoint, **extra).open([picture(60, 40)]).ask("what is it?", 16)


def completion(message: Any, **more: Any) -> bytes:
    return json.dumps({"choices": [{"message": message}]} | more).encode()


def give(endpoint: Endpoint, body: bytes, status: int = 200, **headers: str) -> None:
    endpoint.behave = lambda handler, _: handler.give(status, body, **headers)


def sent_picture(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2], validate=True)))


def test_the_request_is_a_greedy_chat_completion_with_the_exact_pixels(endpoint: Endpoint) -> None:
    pictures = [picture(60, 40), picture(30, 50, seed=1)]
    told = method(endpoint).open(pictures).ask("what is it?", 16)
    assert told.text == "ok"
    ((path, headers, body),) = endpoint.seen
    assert path == "/v1/chat/completions"
    assert "Authorization" not in headers
    (turn,) = body.pop("messages")
    assert body == {"model": "vlm-7b", "temperature": 0, "max_tokens": 16}
    *images, text = turn["content"]
    assert (turn["role"], text) == ("user", {"type": "text", "text": "what is it?"})
    assert len(images) == 2
    for sent, original in zip(images, pictures, strict=True):
        assert sent["image_url"]["url"].startswith("data:image/png;base64,")
        decoded = sent_picture(sent["image_url"]["url"])
        assert ImageChops.difference(decoded, original).getbbox() is None


def test_jpeg_and_extra_fields_are_what_was_asked_for(endpoint: Endpoint) -> None:
    extra_body = {"zoom": "always", "max_tokens": None, "max_completion_tokens": 99}
    ask(endpoint, image_format="jpeg", extra_body=extra_body)
    body = endpoint.seen[0][2]
    url = body["messages"][0]["content"][0]["image_url"]["url"]
    assert url.startswith("data:image/jpeg;base64,")
    assert sent_picture(url).format == "JPEG"
    assert "max_tokens" not in body
    assert (body["zoom"], body["max_completion_tokens"]) == ("always", 99)


def test_what_a_qzoom_server_tells_is_told(endpoint: Endpoint) -> None:
    usage = {"prompt_tokens": 120, "completion_tokens": 3}
    give(endpoint, completion({"content": "owl"}, usage=usage, qzoom=LOOK))
    told = ask(endpoint)
    assert (told.text, told.zoomed, told.gate_probability) == ("owl", True, 0.75)
    assert told.boxes_px_xyxy == ((10, 20, 110.5, 80),)
    assert (told.source_tokens, told.roi_tokens) == (64, 40)
    assert (told.prompt_tokens, told.new_tokens, told.prefills) == (120, 3, 2)
    assert told.seconds["server_prefill"] == 0.25
    assert told.seconds["server_total"] == 0.5
    assert told.seconds["total"] > 0


@pytest.mark.parametrize("more", [{}, {"usage": None, "qzoom": None}, {"qzoom": {"zoomed": False}}])
def test_any_other_server_tells_less(endpoint: Endpoint, more: dict[str, Any]) -> None:
    give(endpoint, completion({"content": "owl"}, **more))
    told = ask(endpoint)
    assert (told.text, told.zoomed, told.gate_probability) == ("owl", False, None)
    assert (told.source_tokens, told.roi_tokens, told.prefills) == (0, 0, 1)


@pytest.mark.parametrize(
    ("message", "text"),
    [({"content": None}, ""), ({"content": None, "refusal": "I cannot."}, "I cannot.")],
)
def test_no_text_is_an_answer_too(endpoint: Endpoint, message: Any, text: str) -> None:
    give(endpoint, completion(message))
    assert ask(endpoint).text == text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>busy</html>",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{}",
        b'{"choices": []}',
        b'{"choices": [{"message": "hi"}]}',
        b'{"choices": [{"message": {}}]}',
        completion({"content": 5}),
        completion({"content": ["a"]}),
        b"[" * 100_000,
    ],
)
def test_garbage_is_one_line_and_not_asked_again(endpoint: Endpoint, body: bytes) -> None:
    give(endpoint, body, Content_Type="text/html")
    with pytest.raises(LabelError, match=r"vlm-7b at http://.* gives no chat completion") as caught:
        ask(endpoint)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert len(endpoint.seen) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"boxes_xyxy_px": [[1, 2, 3]]},
        {"boxes_xyxy_px": 7},
        {"boxes_xyxy_px": [[1, 2, 3, "4"]]},
        {"boxes_xyxy_px": [[1, 2, 3, float("nan")]]},
        {"boxes_xyxy_px": [[1, 2, 3, 10**400]]},
        {"boxes_xyxy_px": []},
        {"gate_probability": "high"},
        {"visual_tokens": -1},
        {"roi_tokens": 1.5},
        {"timings_s": {"total": "long"}},
    ],
)
def test_a_qzoom_field_that_lies_is_refused(endpoint: Endpoint, wrong: dict[str, Any]) -> None:
    give(endpoint, completion({"content": "owl"}, qzoom=LOOK | wrong))
    with pytest.raises(LabelError, match="a usage or qzoom field that cannot be read"):
        ask(endpoint)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_busy_endpoints_are_asked_again(endpoint: Endpoint, status: int) -> None:
    def behave(handler: Handler, number: int) -> None:
        busy = number < 3
        handler.give(status, b"busy", Retry_After="0") if busy else handler.say("owl")

    endpoint.behave = behave
    assert ask(endpoint).text == "owl"
    assert len(endpoint.seen) == 3
    give(endpoint, b"down\nfor good", 503, Retry_After="0")
    with pytest.raises(LabelError, match=r"gives status 503: down for good$"):
        ask(endpoint)
    assert len(endpoint.seen) == 6


def test_a_silent_endpoint_times_out(endpoint: Endpoint) -> None:
    endpoint.behave = lambda handler, _: time.sleep(5)
    with pytest.raises(LabelError, match=r"gives no reply within 0\.2 s"):
        ask(endpoint, timeout_s=0.2, max_retries=0)


def test_an_oversized_response_is_not_read(endpoint: Endpoint) -> None:
    give(endpoint, completion({"content": "x" * 5000}))
    with pytest.raises(LabelError, match="the response is over 2000 bytes"):
        ask(endpoint, max_bytes=2000)
    assert len(endpoint.seen) == 1


@pytest.mark.parametrize("status", [400, 413, 422])
def test_one_refused_picture_can_be_left_out(endpoint: Endpoint, status: int) -> None:
    give(endpoint, b"picture too large", status)
    with pytest.raises(ImageError, match=f"status {status}: picture too large"):
        ask(endpoint)


@pytest.mark.parametrize("status", [302, 401, 404])
def test_a_wrong_key_or_path_ends_the_run(
    endpoint: Endpoint, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLM_KEY", KEY)
    give(endpoint, f"key {KEY} unknown".encode(), status, Location="http://127.0.0.1:1/")
    with pytest.raises(LabelError, match=rf"status {status}: key \[key\] unknown"):
        ask(endpoint, api_key_env="VLM_KEY")
    assert endpoint.seen[0][1]["Authorization"] == f"Bearer {KEY}"
    assert len(endpoint.seen) == 1


@pytest.mark.parametrize("status", [200, 500])
def test_no_half_of_a_key_is_shown_where_a_message_is_cut(
    endpoint: Endpoint, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLM_KEY", KEY)
    for before in range(180, 202):
        give(endpoint, b"x" * before + KEY.encode() + b"y" * 500, status)
        with pytest.raises(LabelError) as caught:
            ask(endpoint, api_key_env="VLM_KEY", max_retries=0)
        assert KEY[:3] not in str(caught.value)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"base_url": ""}, "endpoint needs base_url; give --set base_url="),
        ({"model": ""}, "endpoint needs model"),
        ({"modle": "x"}, "unknown setting 'modle' in endpoint; did you mean 'model'"),
        ({"model": 7}, r"endpoint.model must be a text, got 7"),
        ({"api_key_env": 7}, r"endpoint.api_key_env must be a text"),
        ({"base_url": "ftp://host"}, "the base URL must be http"),
        ({"timeout_s": "long"}, r"endpoint.timeout_s must be a number"),
        ({"timeout_s": 0}, "timeout_s is 0.*; it must be a number of seconds above 0"),
        ({"max_retries": -1}, "retries is -1; it must be at least 0"),
        ({"image_format": "gif"}, r"endpoint.image_format must be one of png, jpeg"),
        ({"extra_body": "zoom"}, r"endpoint.extra_body must be a block of settings"),
        ({"extra_body": {"messages": []}}, "extra_body holds 'messages'"),
        ({"api_key_env": "NO_SUCH_KEY"}, "variable NO_SUCH_KEY holds no key"),
    ],
)
def test_bad_settings(
    endpoint: Endpoint, extra: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(ConfigError, match=message):
        method(endpoint, **extra)
    assert not endpoint.seen


@pytest.mark.parametrize("name", ["gate_threshold", "roi_threshold"])
def test_thresholds_are_the_servers(endpoint: Endpoint, name: str) -> None:
    extra = {"base_url": endpoint.base_url, "model": "m"}
    with pytest.raises(ConfigError, match=f"endpoint takes no {name}"):
        build(MethodOptions(extra=extra, **{name: 0.5}))


def run(endpoint: Endpoint, out: Path, *more: str) -> int:
    where = ["--set", f"base_url={endpoint.base_url}", "--set", "model=vlm-7b"]
    return main(
        ["eval", "synth", "--scenes", "2", "--method", "endpoint", "--out", str(out), *where, *more]
    )


def test_the_command_answers_a_benchmark_and_goes_on_where_it_stopped(
    endpoint: Endpoint,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VLM_KEY", KEY)
    out = tmp_path / "rows.jsonl"

    def behave(handler: Handler, number: int) -> None:
        body = completion({"content": f"reply {number}"}, qzoom=LOOK)
        handler.give(200, body) if number < 4 else handler.give(404, b"gone")

    endpoint.behave = behave
    more = ["--set", "api_key_env=VLM_KEY", "--set", 'extra_body={"zoom": "auto"}', "--json"]
    assert run(endpoint, out, *more) == 2
    assert "gives status 404: gone" in capsys.readouterr().err
    endpoint.behave = lambda handler, _: handler.say("later")
    assert run(endpoint, out, *more) == 0
    summary = json.loads(capsys.readouterr().out)
    rows = list(read_results(out))
    assert summary["samples"] == len(rows) == len(endpoint.seen) - 1
    found = [row.prediction for row in rows]
    assert found == ["reply 1", "reply 2", "reply 3", *["later"] * (len(rows) - 3)]
    assert rows[0].zoomed
    assert rows[0].boxes_px_xyxy == [[10, 20, 110.5, 80]]
    assert rows[0].settings["extra_body"] == {"zoom": "auto"}
    assert endpoint.seen[0][2]["zoom"] == "auto"
    stored = "".join(path.read_text() for path in tmp_path.iterdir())
    assert KEY not in stored


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--model", "x"], "--model has no effect with --method endpoint"),
        (["--min-cells", "4"], "--min-cells has no effect with --method endpoint"),
        (["--set", "model"], "argument --set: must be NAME=VALUE, got 'model'"),
        (["--set", "=7"], "argument --set: must be NAME=VALUE, got '=7'"),
        (["--set", "max_retries=few"], "endpoint.max_retries must be a whole number, got 'few'"),
    ],
)
def test_options_that_cannot_mean_anything(
    endpoint: Endpoint,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    message: str,
) -> None:
    assert run(endpoint, tmp_path / "rows.jsonl", *more) == 2
    assert message in capsys.readouterr().err
    assert not endpoint.seen


def test_a_setting_that_no_method_reads_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["eval", "synth", "--scenes", "1", "--method", "direct", "--set", "tiles=3"]
    assert main([*command, "--out", str(tmp_path / "rows.jsonl")]) == 2
    assert "method direct has no setting 'tiles'; it has none of its own" in capsys.readouterr().err
