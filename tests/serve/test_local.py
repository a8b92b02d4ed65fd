"""Without keys a server listens on this machine alone, and answers to its own names alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.serve.parts import KEY, Server, asking

from qzoom.errors import ConfigError
from qzoom.serve.server import check_keys

LOCAL = ["localhost", "localhost:8000", "LOCALHOST", "127.0.0.1", "127.0.0.1:1", "[::1]:8000"]
FOREIGN = [
    "evil.test",
    "localhost.evil.test",
    "localhost:80.evil.test",
    "localhost:80:evil.test",
    "localhost:evil.test",
    "localhost@evil.test",
    "evil.test@localhost",
    "localhost/",
    "localhost evil.test",
    "localhost\\",
    "localhost:",
    "localhost:123456",
    "localhost\n",
    " localhost",
    "localhost,evil.test",
    "[::1",
    "[::1]evil.test",
    "[::1].evil.test",
    "[::1]:80:evil",
    "[evil.test]",
    "127.0.0.1.evil.test",
    "127.1",
    "2130706433",
    "0.0.0.0",
    "192.168.1.1",
    "169.254.169.254",
    "\uff4cocalhost".encode().decode("latin-1"),
    "",
    None,
]


@pytest.fixture(scope="module")
def local() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.mark.parametrize("host", LOCAL)
def test_without_keys_this_machine_gets_answers(local: Server, host: str) -> None:
    for path in ("/v1/models", "/health"):
        assert local.request("GET", path, host=host).status == 200


@pytest.mark.parametrize("host", FOREIGN)
def test_without_keys_other_host_names_get_none(local: Server, host: str | None) -> None:
    for path in ("/v1/models", "/health", "/x"):
        reply = local.request("GET", path, host=host)
        assert reply.status == 403
        assert reply.error == "this server answers to localhost only"


def test_no_page_of_another_site_may_read_an_answer(local: Server) -> None:
    origin = [("origin", "https://evil.test"), ("access-control-request-method", "POST")]
    for method in ("GET", "OPTIONS"):
        reply = local.request(method, "/v1/models", headers=origin)
        assert not [name for name in reply.headers if name.startswith("access-control")]
    form = local.post(asking("what?"), content="text/plain")
    assert form.status == 415


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "example.org", "", "127.0.0.1.x"])
def test_a_server_that_others_reach_needs_a_key(host: str) -> None:
    with pytest.raises(ConfigError, match="set an API key"):
        check_keys(host, [])
    check_keys(host, [KEY])


def test_keys_that_cannot_be_used() -> None:
    for host in ("127.0.0.1", "127.0.0.2", "::1", "localhost"):
        check_keys(host, [])
    for key in ("", "short", "x" * 15, "k\u00e9y" * 8, "with a space in it", "x" * 16 + "\n"):
        with pytest.raises(ConfigError, match="16 or more"):
            check_keys("127.0.0.1", [KEY, key])
