"""Fields of requests: every bound at its limit and one past it; errors echo no values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serve.parts import Server, asking, check_refused

MAX_TEXT = 2_000
MAX_NEW = 4
SECRET = "a-secret-of-the-client"
TURN = {"role": "user", "content": "x"}
TEXT = {"type": "text", "text": "x"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(
        max_text_chars=MAX_TEXT,
        max_new_tokens=MAX_NEW,
        default_new_tokens=2,
        max_prompt_tokens=3_000,
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def answers_afterwards(server: Server) -> Iterator[None]:
    yield
    assert server.chat().status == 200


def with_turns(*turns: Any) -> dict[str, Any]:
    return {"messages": list(turns)}


def with_text(*texts: str) -> dict[str, Any]:
    return with_turns({"role": "user", "content": [TEXT | {"text": text} for text in texts]})


def field(name: str, value: Any) -> dict[str, Any]:
    return asking("x") | {name: value}


# What is still taken, and what is one past it.
BOUNDS: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "messages": ([with_turns(*[TURN] * 64)], [with_turns(), with_turns(*[TURN] * 65)]),
    "parts": ([with_text(*["x"] * 64)], [with_text(), with_text(*["x"] * 65)]),
    "text": (
        [with_text("x" * MAX_TEXT), with_turns(TURN | {"content": "x" * MAX_TEXT})],
        [with_text("x" * MAX_TEXT, "x"), with_turns(TURN, TURN | {"content": "x" * MAX_TEXT})],
    ),
}
VALUES: dict[str, tuple[list[Any], list[Any]]] = {
    "max_tokens": ([1, MAX_NEW, None], [0, -1, MAX_NEW + 1, 10**18, 2**64, 1.5, "many", [1]]),
    "max_completion_tokens": ([1, MAX_NEW], [0, MAX_NEW + 1]),
    "temperature": ([0, 5e-324, 2, None], [-5e-324, 2.0000001, "hot", {}, [0]]),
    "top_p": ([5e-324, 1], [0, -0.1, 1.0000001]),
    "repetition_penalty": ([5e-324, 10], [0, -1, 10.00001]),
    "seed": ([-(2**63), -1, 0, 2**63 - 1], [-(2**63) - 1, 2**63, 0.5]),
    "stop": (
        ["x" * 64, ["x"] * 4, ["x" * 64], [], None, "\u0000"],
        ["", "x" * 65, ["x"] * 5, ["x" * 65], [""], [[]], 3],
    ),
    "n": ([1, None], [0, 2, -1, 10**9, 1.5]),
    "presence_penalty": ([0, 0.0], [0.1, -0.1]),
    "frequency_penalty": ([0, 0.0], [0.1, -0.1]),
    "user": (["", "x" * 256], ["x" * 257, 1]),
    "cache_salt": (["", "x" * 256], ["x" * 257, []]),
    "logprobs": ([True, False, None], ["perhaps", 2]),
    "ignore_eos": ([True, False], ["perhaps", 2]),
    "stream": ([False], ["perhaps", None]),
    "stream_options": ([None], [{}, {"include_usage": True}, 1]),
    "response_format": ([{"type": "text"}, None], [{"type": "json_object"}]),
    "qzoom": (
        [
            *({}, None, {"gate_threshold": 0}, {"gate_threshold": 1}, {"roi_threshold": 1}),
            *({"direct": True}, {"return_heatmap": True}),
        ],
        [
            *({"gate_threshold": -0.01}, {"gate_threshold": 1.01}, {"roi_threshold": 1.01}),
            *({"effort": "huge"}, {"effort": "low"}, {"direct": "perhaps"}, {"unknown": 1}, 1),
            {"box_xyxy_px": [0, 0, 1, 1]},
        ],
    ),
    "unknown_field": ([1, "x", [[]], {"a": {}}], []),
}
for name, (fine, past) in VALUES.items():
    BOUNDS[name] = [field(name, v) for v in fine], [field(name, v) for v in past]


@pytest.mark.parametrize("name", BOUNDS)
def test_a_bound_holds_where_it_is(server: Server, name: str) -> None:
    taken, refused = BOUNDS[name]
    for body in taken:
        reply = server.post(body)
        assert reply.status == 200, (body, reply.body)
    for body in refused:
        reply = server.post(body)
        check_refused(reply)
        assert reply.status == 400


def test_logprobs_have_bounds_of_their_own(server: Server) -> None:
    for top in (0, 20):
        reply = server.chat("x", logprobs=True, top_logprobs=top)
        tokens = reply.json["choices"][0]["logprobs"]["content"]
        assert [len(token["top_logprobs"]) for token in tokens] == [top] * 2
    for fields in ({"logprobs": True, "top_logprobs": 21}, {"top_logprobs": 1}):
        check_refused(server.chat("x", **fields))


REFUSED = {
    "tools": [{"type": "function", "function": {"name": SECRET}}],
    "tool_choice": "required",
    "functions": [{"name": SECRET}],
    "function_call": {"name": SECRET},
    "logit_bias": {"5": 100},
    "prompt_embeds": "UEsDBAAACAgAAA==",
    "audio": {"voice": SECRET, "format": "wav"},
    "chat_template": "{% for x in range(10**9) %}{% endfor %}",
    "chat_template_kwargs": {"tokenize": True},
    "mm_processor_kwargs": {"max_pixels": 10**12},
}


@pytest.mark.parametrize("name", REFUSED)
def test_fields_that_would_change_the_answer_are_refused(server: Server, name: str) -> None:
    message = check_refused(server.post(field(name, REFUSED[name])))
    assert name in message
    assert SECRET not in message
    for nothing in (None, [], {}):
        assert server.post(field(name, nothing)).status == 200


LOUD = [
    with_turns({"role": SECRET, "content": "x"}),
    with_turns({"role": "user", "content": [{"type": SECRET}]}),
    with_turns({"role": "user", "content": [{"type": "image_url", "image_url": SECRET}]}),
    with_turns({"role": "user", "content": {"text": SECRET}}),
    with_turns(SECRET),
    {"messages": SECRET},
    {"prompt": SECRET},
    *(field(name, SECRET) for name in ("max_tokens", "temperature", "seed", "n", "stream")),
    *(field(name, [SECRET]) for name in ("user", "qzoom")),
    field("stop", [SECRET * 9]),
    field("response_format", {"type": SECRET}),
    field("qzoom", {"effort": SECRET}),
    asking("x", SECRET),
    asking("x", f"https://{SECRET}/x.png"),
    asking("x", f"data:image/png;base64,{SECRET}"),
    asking(SECRET * 1000),
]


@pytest.mark.parametrize("body", LOUD, ids=lambda body: json.dumps(body)[:60])
def test_errors_do_not_echo_what_was_sent(server: Server, body: dict[str, Any]) -> None:
    assert SECRET not in check_refused(server.post(body))


def test_names_that_a_client_made_up_are_shown_short_and_escaped(server: Server) -> None:
    rude = "\x1b[2J\r\nSet-Cookie: x=1\u202e<script>" + "x" * 10_000
    for body in (field("qzoom", {rude: 1}), field("qzoom", {"\ud83d\ude00" * 300: 1})):
        message = check_refused(server.post(body))
        assert message.isascii()
        assert len(message) < 500
    message = check_refused(server.post(field("model", rude[:256])))
    assert message.isascii()
    assert len(message) < 500
    reply = server.request("GET", "/v1/models/" + rude)
    assert reply.status == 404
    assert check_refused(reply).isascii()


def test_a_body_with_thousands_of_faults_gets_a_short_answer(server: Server) -> None:
    turns = [{"role": "nobody", "content": [{}] * 64}] * 64
    message = check_refused(server.post(with_turns(*turns)))
    assert "more" in message


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@given(st.sampled_from([*VALUES, *REFUSED, "messages", "model"]), JSON_VALUES)
@settings(max_examples=150)
def test_any_value_of_any_field_is_answered_or_refused(
    server: Server, name: str, value: Any
) -> None:
    reply = server.post(json.dumps(field(name, value), allow_nan=True).encode(errors="replace"))
    if reply.status != 200:
        check_refused(reply)
