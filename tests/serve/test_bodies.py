"""Bodies that are no requests, too large, too slow or of another type."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serve.parts import CHAT, JSON, Server, asking, check_refused

MAX_BODY = 300_000


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(max_body_bytes=MAX_BODY, body_s=1.0) as running:
        yield running


@pytest.fixture(autouse=True)
def answers_afterwards(server: Server) -> Iterator[None]:
    yield
    assert server.chat().status == 200


BODIES = {
    "nothing": b"",
    "a word": b"messages",
    "null": b"null",
    "a list": b"[]",
    "a string": b'"x"',
    "a number": b"1",
    "open": b'{"messages": [',
    "two values": json.dumps(asking("x")).encode() * 2,
    "single quotes": b"{'messages': []}",
    "a comment": b"/* x */ {}",
    "bad UTF-8": b'{"messages": [{"role": "user", "content": "\xff\xfe"}]}',
    "UTF-16": json.dumps(asking("x")).encode("utf-16"),
    "UTF-8 with a mark": b"\xef\xbb\xbf" + json.dumps(asking("x")).encode(),
    "a lone surrogate": b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
    "a raw zero": b'{"messages": [{"role": "user", "content": "\x00"}]}',
    "NaN": b'{"messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
    "Infinity": b'{"messages": [{"role": "user", "content": "x"}], "top_p": Infinity}',
    "1e999": b'{"messages": [{"role": "user", "content": "x"}], "temperature": 1e999}',
    "many digits": b'{"messages": [{"role": "user", "content": "x"}], "seed": %b}' % (b"9" * 9999),
    "digits nobody reads": b'{"x": %b}' % (b"9" * 200_000),
    "brackets": b"[" * 100_000,
    "closed brackets": b"[" * 100_000 + b"]" * 100_000,
    "braces": b'{"a":' * 50_000,
    "deep messages": b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep tools": b'{"tools": ' + b"[" * 180 + b"]" * 180 + b"}",
    "a pickle": b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00cos\nsystem\n.",
}


@pytest.mark.parametrize("name", BODIES)
def test_bodies_that_are_no_requests(server: Server, name: str) -> None:
    reply = server.post(BODIES[name])
    check_refused(reply)
    assert reply.status == 400


def test_of_a_field_given_twice_the_last_counts(server: Server) -> None:
    turns = b'"messages": [{"role": "user", "content": "x"}]'
    assert server.post(b'{"n": 2, %b, "n": 1, "max_tokens": 1}' % turns).status == 200
    check_refused(server.post(b'{"n": 1, %b, "n": 2}' % turns))
    check_refused(server.post(b'{"tools": [], %b, "tools": [1]}' % turns))


@pytest.mark.parametrize(
    "content",
    [
        *("", "text/plain", "text/json", "application/x-www-form-urlencoded", "application/jsonx"),
        *("multipart/form-data; boundary=x", "application/octet-stream", "application/json,x"),
        "application/x-python-pickle",
    ],
)
def test_other_types_of_content_are_refused(server: Server, content: str) -> None:
    reply = server.post(asking("x"), content=content)
    check_refused(reply)
    assert reply.status == 415


def test_types_of_content_that_mean_json(server: Server) -> None:
    for content in (JSON, "Application/JSON", "application/json; charset=utf-8"):
        assert server.post(asking("x"), content=content).status == 200


def padded(size: int) -> bytes:
    body = json.dumps(asking("x")).encode()
    return body + b" " * (size - len(body))


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_over_the_limit_is_refused(server: Server, declared: bool) -> None:
    for more, status in ((0, 200), (1, 413), (50_000, 413)):
        body = padded(MAX_BODY + more)
        headers = [("content-length", str(len(body)))] if declared else []
        pieces = [body[at : at + 40_000] for at in range(0, len(body), 40_000)]
        assert server.post(pieces, *headers).status == status


@pytest.mark.parametrize(
    "length", ["10000000000", str(MAX_BODY + 1), "9" * 5000, f"{'0' * 30}{MAX_BODY + 1}"]
)
def test_a_declared_length_is_refused_before_anything_is_read(server: Server, length: str) -> None:
    headers = [("content-type", JSON), ("content-length", length)]
    reply = server.request("POST", CHAT, [], headers)
    check_refused(reply)
    assert reply.status == 413


@pytest.mark.parametrize("length", ["", "-1", "x", "\xb2", "1e9", "0x10", "1" + "0" * 4, "0"])
def test_a_declared_length_is_not_believed(server: Server, length: str) -> None:
    assert server.post(asking("x"), ("content-length", length)).status == 200


def test_a_body_that_does_not_come_is_given_up(server: Server) -> None:
    # No further message: the client stays silent.
    reply = server.request("POST", CHAT, [], [("content-type", JSON)])
    check_refused(reply)
    assert reply.status == 408


@given(st.binary(max_size=60))
@settings(max_examples=60)
def test_any_bytes_are_refused(server: Server, body: bytes) -> None:
    check_refused(server.post(body))
