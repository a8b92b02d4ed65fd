"""Requests made from the server's own description of itself: never a failure, only what it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.core import NotSet
from tests.serve.parts import CHAT, JSON, Reply, Server, check_refused

POSITIVE, NEGATIVE = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
OPERATIONS = [
    ("POST", CHAT),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{name}"),
    ("GET", "/health"),
    ("GET", "/ready"),
    ("GET", "/metrics"),
]
FEW = settings(max_examples=30, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(max_new_tokens=4, default_new_tokens=2) as running:
        yield running


@pytest.fixture(scope="module")
def described(server: Server) -> Any:
    return schemathesis.openapi.from_dict(server.request("GET", "/openapi.json").json)


def send(server: Server, case: Any) -> Reply:
    path, body = unquote(case.formatted_path), case.body
    if isinstance(body, NotSet):
        return server.request(case.method, path)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return server.request(case.method, path, data, [("content-type", JSON)])


def test_every_operation_is_described(described: Any) -> None:
    found = [operation.ok() for operation in described.get_all_operations()]
    assert {(each.method.upper(), each.path) for each in found} == set(OPERATIONS)


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    # The others take nothing that could be wrong.
    [*((*each, POSITIVE) for each in OPERATIONS), (*OPERATIONS[0], NEGATIVE)],
)
def test_an_operation_answers_or_refuses(
    server: Server, described: Any, method: str, path: str, mode: GenerationMode
) -> None:
    operation = described[path][method]
    seen: set[int] = set()

    @FEW
    @given(operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        reply = send(server, case)
        assert reply.status < 500, (case.body, reply.body)
        assert str(reply.status) in operation.definition.raw["responses"]
        if reply.status >= 400:
            check_refused(reply)
        seen.add(reply.status)

    check()
    # Made-up names are no model's.
    usual = 404 if "{name}" in path else 200 if mode is POSITIVE else 400
    assert usual in seen
    assert server.chat().status == 200


def test_the_description_names_every_field_of_a_question(server: Server) -> None:
    found = server.request("GET", "/openapi.json").json
    schema = found["paths"][CHAT]["post"]["requestBody"]["content"][JSON]["schema"]
    fields = found["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]["properties"]
    assert {"messages", "stream", "max_tokens", "qzoom"} <= set(fields)
