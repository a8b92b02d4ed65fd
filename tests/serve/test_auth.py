"""Every path needs a key but the two public ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.serve.parts import CHAT, JSON, KEY, Server, asking, bearer, http_scope

from qzoom.serve.auth import KeyMiddleware

OTHER = "another-key-of-this-server"
PUBLIC = ("/health", "/ready")
UNKNOWN = [
    "/",
    "",
    "/v1",
    "/v1/",
    "//v1/models",
    "/%2fv1/models",
    "/v1%2fmodels",
    "/v1/models/",
    "/v1/models/toy",
    "/V1/models",
    "/v1/../health",
    "/health/../v1/models",
    "/health/",
    "//health",
    "/Health",
    "/health%20",
    "/health;x",
    "/healthy",
    "/health/x",
    "/ready/",
    "/health\x00",
    "/docs",
    "/redoc",
    "/openapi.json/",
    "/admin",
    "x/health",
    "http://localhost/health",
]
WRONG: list[list[tuple[str, str]]] = [
    [],
    [("authorization", "")],
    [("authorization", "Bearer")],
    [("authorization", "Bearer ")],
    [("authorization", KEY)],
    [bearer("wrong")],
    [bearer(KEY[:-1])],
    [bearer(KEY + "x")],
    [bearer(KEY[:1])],
    [bearer(KEY.upper())],
    [bearer(f"{KEY} {OTHER}")],
    [bearer(f"{KEY},{OTHER}")],
    [bearer(f'"{KEY}"')],
    [bearer("\xff" * 20)],
    [("authorization", f"Basic {KEY}")],
    [("authorization", f"Token {KEY}")],
    [("authorization", f"Bearer\t{KEY}")],
    [("authorization", f"Bearer: {KEY}")],
    [("x-api-key", KEY)],
    [("api-key", KEY)],
    [("cookie", f"authorization=Bearer {KEY}")],
    # The first one counts.
    [bearer("wrong"), bearer(KEY)],
]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server([KEY, OTHER]) as running:
        yield running


def routes(server: Server) -> list[tuple[str, str]]:
    """Method and path of every route, the schema's own among them."""
    layer: Any = server.app
    while not hasattr(layer, "openapi"):
        layer = layer._app
    found = [
        (method.upper(), path.replace("{name}", "toy"))
        for path, methods in layer.openapi()["paths"].items()
        for method in methods
    ]
    assert {path for _, path in found} >= {CHAT, "/v1/models", "/metrics", *PUBLIC}
    return [*found, ("GET", layer.openapi_url)]


def test_every_route_but_the_public_ones_needs_a_key(server: Server) -> None:
    for method, path in routes(server):
        for kind in (method, "HEAD", "OPTIONS", "TRACE", "DELETE"):
            reply = server.request(kind, path)
            assert (reply.status == 401) == (path not in PUBLIC), (kind, path)
            if reply.status == 401:
                assert reply.headers["www-authenticate"] == "Bearer"
                assert reply.json["error"]["type"] == "authentication_error"


@pytest.mark.parametrize("path", UNKNOWN)
def test_paths_that_are_no_routes_need_a_key_too(server: Server, path: str) -> None:
    assert server.request("GET", path).status == 401
    assert server.request("GET", path, headers=[bearer(KEY)]).status in (200, 404)


@pytest.mark.parametrize("headers", WRONG, ids=str)
def test_other_credentials_are_refused(server: Server, headers: list[tuple[str, str]]) -> None:
    assert server.request("GET", "/v1/models", headers=headers).status == 401
    assert server.request("GET", "/health", headers=headers).status == 200


def test_each_key_lets_a_request_in(server: Server) -> None:
    for key in (KEY, OTHER):
        for scheme in ("Bearer", "bearer"):
            headers = [("authorization", f"{scheme} {key}")]
            assert server.request("GET", "/v1/models", headers=headers).status == 200
    assert server.post(asking("what?"), bearer(KEY)).text


@pytest.mark.parametrize(
    "host", ["x/health?", "localhost/health?", "localhost/health", "/health", "health", "", None]
)
def test_a_host_header_does_not_change_the_path(server: Server, host: str | None) -> None:
    assert server.request("GET", "/v1/models", host=host).status == 401
    assert server.request("GET", "/health", host=host).status == 200


def test_neither_do_other_parts_of_the_scope(server: Server) -> None:
    for root in ("/health", "/v1", "/x", "/v1/models"):
        for path in ("/v1/models", root + "/v1/models", root + "/health", "/health/v1/models"):
            if path not in PUBLIC:
                assert server.request("GET", path, root_path=root).status == 401
    assert server.request("GET", "/v1/models", raw_path=b"/health").status == 401
    assert server.request("GET", "/v1/models?/health").status == 401
    for name in ("x-original-url", "x-rewrite-url", "x-forwarded-prefix", "x-forwarded-host"):
        assert server.request("GET", "/v1/models", headers=[(name, "/health")]).status == 401
    assert server.request("GET", "/v1/models", state={"caller": "somebody"}).status == 401


@pytest.mark.parametrize("path", ["/v1/models", "/health", CHAT])
def test_websockets_are_refused(server: Server, path: str) -> None:
    for headers in ([], [bearer(KEY)]):
        scope = http_scope("GET", path, [("host", "localhost"), *headers])
        scope |= {"type": "websocket", "scheme": "ws", "subprotocols": []}
        del scope["method"]
        sent = server.run(scope, [{"type": "websocket.connect"}])
        assert [message["type"] for message in sent] == ["websocket.close"]


def test_a_refused_request_is_neither_read_nor_queued(server: Server) -> None:
    before = server.state.engine.queued
    body = [b"x" * 1000] * 3
    assert server.request("POST", CHAT, body, [("content-type", JSON)]).status == 401
    assert server.state.engine.queued == before
    assert b'status="401"' in server.request("GET", "/metrics", headers=[bearer(KEY)]).body


def test_nothing_redirects(server: Server) -> None:
    for path in ("/health/", "/v1/models/", "/metrics/", CHAT + "/"):
        reply = server.request("GET", path, headers=[bearer(KEY)], host="evil.test")
        assert reply.status == 404
        assert "location" not in reply.headers


def test_callers_share_no_images_and_no_secrets(server: Server) -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["state"]["caller"])
        await send({"type": "http.response.start", "status": 204, "headers": []})

    guarded = KeyMiddleware(app, [KEY, OTHER], local_only=False)
    original, server.app = server.app, guarded
    try:
        for key in (KEY, OTHER, KEY):
            server.run(http_scope("GET", "/v1/models", [bearer(key)]), [])
    finally:
        server.app = original
    first, second, third = seen
    assert first == third != second
    assert KEY not in first
