"""A judge behind an endpoint that misbehaves in every way it can."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.http_stub import Behaviour, Endpoint, Handler, serving

from qzoom.errors import ConfigError, LabelError
from qzoom.labels.failures import FailureLimit
from qzoom.labels.judge import JudgePrompt, JudgeRequest, Reply
from qzoom.labels.judge_http import HttpJudgeSettings, HttpReplier
from qzoom.labels.judging import CountedJudge, TextJudge

GOOD = "A: Yes\nB: No"
PROMPT = JudgePrompt("system text", "user text")
KEY = "sk-very-secret"


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving() as server:
        server.behave = lambda handler, _: handler.say(GOOD)
        yield server


def replier(endpoint: Endpoint, **settings: Any) -> HttpReplier:
    fast = {"timeout_s": 20.0, "retries": 2, "backoff_s": 0.01}
    return HttpReplier(HttpJudgeSettings(endpoint.base_url, "judge-7b", **fast | settings))


def ask(endpoint: Endpoint, **settings: Any) -> Reply:
    (reply,) = replier(endpoint, **settings).replies([PROMPT])
    return reply


def test_a_good_endpoint(endpoint: Endpoint) -> None:
    assert ask(endpoint) == Reply(GOOD)
    ((path, headers, body),) = endpoint.seen
    assert path == "/v1/chat/completions"
    assert "Authorization" not in headers
    assert body == {
        "model": "judge-7b",
        "messages": [
            {"role": "system", "content": "system text"},
            {"role": "user", "content": "user text"},
        ],
        "temperature": 0,
        "max_tokens": 16,
    }


def test_extra_fields_are_added_or_left_out(endpoint: Endpoint) -> None:
    extra = {"max_tokens": None, "max_completion_tokens": 20}
    ask(endpoint, extra=extra)
    body = endpoint.seen[0][2]
    assert "max_tokens" not in body
    assert body["max_completion_tokens"] == 20
    names = {replier(endpoint, extra=e).name for e in ({}, extra)}
    assert len(names) == 2


def test_replies_come_in_order_and_threads_are_bounded(endpoint: Endpoint) -> None:
    def behave(handler: Handler, number: int) -> None:
        time.sleep(0.02 if number % 2 else 0.0)
        handler.say(handler.body["messages"][1]["content"])

    endpoint.behave = behave
    prompts = [JudgePrompt("s", f"prompt {i}") for i in range(20)]
    replies = list(replier(endpoint, concurrency=3).replies(prompts))
    assert [reply.text for reply in replies] == [prompt.user for prompt in prompts]
    assert endpoint.most <= 3


@pytest.mark.parametrize("status", [429, 500, 503])
def test_busy_endpoints_are_asked_again(endpoint: Endpoint, status: int) -> None:
    def behave(handler: Handler, number: int) -> None:
        handler.give(status, b"busy") if number < 3 else handler.say(GOOD)

    endpoint.behave = behave
    assert ask(endpoint) == Reply(GOOD)
    assert len(endpoint.seen) == 3


def test_retries_end(endpoint: Endpoint) -> None:
    endpoint.behave = lambda handler, _: handler.give(503, b"down\nfor good")
    reply = ask(endpoint)
    assert (reply.text, reply.failure) == (None, "error")
    assert reply.detail == "status 503: down for good"
    assert len(endpoint.seen) == 3


def test_waits_double_and_follow_the_endpoint_up_to_a_limit() -> None:
    judge = HttpJudgeSettings("http://localhost/v1", "m", backoff_s=1.0, max_backoff_s=5.0)
    assert [judge.wait_s(retry, None) for retry in range(4)] == [1.0, 2.0, 4.0, 5.0]
    assert [judge.wait_s(0, asked) for asked in (0.0, 3.0, 3600.0)] == [0.0, 3.0, 5.0]


def test_the_endpoints_own_wait_is_kept(endpoint: Endpoint) -> None:
    def behave(handler: Handler, number: int) -> None:
        if number == 1:
            handler.give(429, b"", Retry_After="3600")
        else:
            handler.say(GOOD)

    endpoint.behave = behave
    started = time.monotonic()
    assert ask(endpoint, max_backoff_s=0.2) == Reply(GOOD)
    assert time.monotonic() - started >= 0.2


def hang(handler: Handler, number: int) -> None:
    time.sleep(10)


def drip(handler: Handler, number: int) -> None:
    """A byte now and then: no single wait is long."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(b"{")
        time.sleep(0.05)


def drip_without_length(handler: Handler, number: int) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(b"{")
        time.sleep(0.05)


def drip_headers(handler: Handler, number: int) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    for _ in range(200):
        handler.wfile.write(b"x")
        time.sleep(0.05)


def continue_for_ever(handler: Handler, number: int) -> None:
    for _ in range(1000):
        handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.01)


@pytest.mark.parametrize(
    "behave", [hang, drip, drip_without_length, drip_headers, continue_for_ever]
)
def test_slow_endpoints_time_out(endpoint: Endpoint, behave: Behaviour) -> None:
    endpoint.behave = behave
    started = time.monotonic()
    reply = ask(endpoint, timeout_s=0.25, retries=1)
    assert reply == Reply(None, "timeout", "no reply within 0.25 s")
    assert 0.5 <= time.monotonic() - started < 8


def test_a_socket_that_nobody_serves_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        judge = HttpJudgeSettings(url, "m", timeout_s=0.25, retries=0)
        (reply,) = HttpReplier(judge).replies([PROMPT])
    assert reply == Reply(None, "timeout", "no reply within 0.25 s")


def huge(handler: Handler, number: int) -> None:
    handler.give(200, b"x" * 5000)


def huge_without_length(handler: Handler, number: int) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(1000):
        handler.wfile.write(b"x" * 1000)


@pytest.mark.parametrize("behave", [huge, huge_without_length])
def test_huge_responses_are_not_read(endpoint: Endpoint, behave: Behaviour) -> None:
    endpoint.behave = behave
    reply = ask(endpoint, max_bytes=2000)
    assert reply == Reply(None, "error", "the response is over 2000 bytes")
    assert len(endpoint.seen) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"garbage \xff",
        b'{"choices": [{"message": {"content": "A: Ye',
        b'{"choices": []}',
        b'{"choices": [{"message": {"content": null}}]}',
        b'{"choices": {"0": 1}}',
        b"[1, 2]",
        b"null",
        b"[" * 100_000,
    ],
)
def test_garbage_is_an_error_and_not_asked_again(endpoint: Endpoint, body: bytes) -> None:
    endpoint.behave = lambda handler, _: handler.give(200, body)
    reply = ask(endpoint)
    assert (reply.text, reply.failure) == (None, "error")
    assert reply.detail.startswith("no chat completion: ")
    assert len(endpoint.seen) == 1


def test_a_body_cut_short_is_asked_for_again(endpoint: Endpoint) -> None:
    def behave(handler: Handler, number: int) -> None:
        if number == 1:
            handler.give(200, b'{"choices"', Content_Length="1000")
            handler.close_connection = True
        else:
            handler.say(GOOD)

    endpoint.behave = behave
    assert ask(endpoint) == Reply(GOOD)


def reset(handler: Handler) -> None:
    """Close at once, unread bytes and all."""
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()


def cut_chunks(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"ff\r\n{")


def long_header(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n")


@pytest.mark.parametrize("broken", [reset, cut_chunks, long_header])
def test_broken_replies_are_asked_for_again(
    endpoint: Endpoint, broken: Callable[[Handler], None]
) -> None:
    endpoint.behave = lambda handler, number: broken(handler) if number < 3 else handler.say(GOOD)
    assert ask(endpoint) == Reply(GOOD)
    endpoint.behave = lambda handler, _: broken(handler)
    reply = ask(endpoint, retries=0)
    assert (reply.text, reply.failure) == (None, "error")
    assert "\n" not in reply.detail


def test_what_comes_back_is_counted_and_too_much_of_it_ends_the_run(endpoint: Endpoint) -> None:
    def behave(handler: Handler, number: int) -> None:
        asked = handler.body["messages"][1]["content"]
        if "malformed?" in asked:
            handler.say("Both are fine.")
        elif "timeout?" in asked:
            hang(handler, number)
        elif "error?" in asked:
            handler.give(500, b"")
        else:
            handler.say(GOOD)

    endpoint.behave = behave
    kinds = ["good", "malformed", "timeout", "error"]
    requests = [JudgeRequest(f"{kind}?", ("owl",), "owl", "cat") for kind in kinds]
    asking = TextJudge(replier(endpoint, timeout_s=0.5, retries=1))
    judge = CountedJudge(asking, FailureLimit(0.75, least=4))
    states = [decision.state for decision in judge.decide(requests)]
    assert states == ["decided", "malformed", "timeout", "error"]
    counts = judge.report
    assert (counts.only_a_right, counts.malformed, counts.timeout, counts.error) == (1, 1, 1, 1)
    with pytest.raises(LabelError, match=r"4 of 5 requests, over the limit of 75% \(2 malformed"):
        judge.decide(requests[1:2])


def test_not_even_http(endpoint: Endpoint) -> None:
    endpoint.behave = lambda handler, _: handler.wfile.write(b"\x00\x01\x02\r\n\r\n")
    reply = ask(endpoint, retries=0)
    assert (reply.text, reply.failure) == (None, "error")
    assert "\n" not in reply.detail


def test_nobody_there(endpoint: Endpoint) -> None:
    judge = HttpJudgeSettings("http://127.0.0.1:1/v1", "m", retries=1, backoff_s=0.0)
    (reply,) = HttpReplier(judge).replies([PROMPT])
    assert reply == Reply(None, "error", "Connection refused")


@pytest.mark.parametrize("status", [401, 403, 404, 302])
def test_what_no_request_would_pass_ends_the_run(
    endpoint: Endpoint, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_KEY", KEY)
    text = f"key {KEY} is unknown".encode()
    endpoint.behave = lambda handler, _: handler.give(status, text, Location="http://127.0.0.1/x")
    with pytest.raises(LabelError) as caught:
        list(replier(endpoint, api_key_env="JUDGE_KEY", concurrency=1).replies([PROMPT] * 50))
    assert f"gives status {status}: key [key] is unknown" in str(caught.value)
    # A redirect is not followed, and the rest is not asked.
    assert len(endpoint.seen) < 5


def test_one_refused_prompt_does_not(endpoint: Endpoint) -> None:
    def behave(handler: Handler, number: int) -> None:
        handler.give(400, b"prompt too long") if number == 1 else handler.say(GOOD)

    endpoint.behave = behave
    replies = list(replier(endpoint, concurrency=1).replies([PROMPT] * 3))
    assert replies == [Reply(None, "error", "status 400: prompt too long"), *[Reply(GOOD)] * 2]


def test_the_key_is_sent_and_never_shown(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("JUDGE_KEY", f" {KEY}\n")
    asking = replier(endpoint, api_key_env="JUDGE_KEY")
    assert list(asking.replies([PROMPT])) == [Reply(GOOD)]
    assert endpoint.seen[0][1]["Authorization"] == f"Bearer {KEY}"
    assert KEY not in f"{asking!r} {asking.name} {vars(asking)['_judge']!r} {caplog.text}"


def test_a_run_that_stops_does_not_wait_for_its_retries(endpoint: Endpoint) -> None:
    def behave(handler: Handler, number: int) -> None:
        first = handler.body["messages"][1]["content"] == "first"
        handler.say(GOOD) if first else handler.give(503, b"")

    endpoint.behave = behave
    asking = replier(endpoint, backoff_s=60.0, max_backoff_s=60.0, concurrency=2)
    started = time.monotonic()
    replies = asking.replies([JudgePrompt("s", "first"), *[PROMPT] * 3])
    next(replies)
    replies.close()  # type: ignore[attr-defined]
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host/v1", "must be http"),
        ("file:///etc/passwd", "must be http"),
        ("host/v1", "must be http"),
        ("http:///v1", "must be http"),
        ("http://host:99999/v1", "cannot be read"),
        ("http://[/v1", "cannot be read"),
        ("http://me:secret@host/v1", "holds a password"),
        ("http://host/v1?key=1", "without query"),
        ("http://host/v1#a", "without query"),
        ("http://host/v 1", "without query, fragment or spaces"),
        ("http://host/\u00fc", "must be ASCII"),
    ],
)
def test_bad_urls(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        HttpJudgeSettings(url, "m")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"concurrency": 0}, "concurrency is 0; it must be at least 1"),
        ({"retries": -1}, "retries is -1; it must be at least 0"),
        ({"timeout_s": 0}, "timeout_s is 0; it must be"),
        ({"timeout_s": float("inf")}, "timeout_s is inf; it must be"),
        ({"backoff_s": -1.0}, "backoff_s is -1.0; it must be"),
        ({"max_bytes": 0}, "max_bytes is 0"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        HttpJudgeSettings("http://localhost/v1", "m", **settings)


def test_keys_are_checked_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = HttpJudgeSettings("https://host/v1", "m", api_key_env="JUDGE_KEY")
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    with pytest.raises(ConfigError, match="variable JUDGE_KEY holds no key; set it"):
        HttpReplier(judge)
    monkeypatch.setenv("JUDGE_KEY", f"{KEY}\r\nX: y")
    with pytest.raises(ConfigError, match="characters that no header can carry") as caught:
        HttpReplier(judge)
    assert KEY not in str(caught.value)
    with pytest.raises(ConfigError, match="travel unencrypted to host; use https"):
        HttpJudgeSettings("http://host/v1", "m", api_key_env="JUDGE_KEY")
    HttpJudgeSettings("http://host/v1", "m", api_key_env="JUDGE_KEY", key_over_http=True)
    HttpJudgeSettings("http://127.0.0.1:8000/v1", "m", api_key_env="JUDGE_KEY")
