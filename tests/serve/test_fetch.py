"""Image URLs: only plain https URLs of allowed hosts at public addresses are ever connected to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serve.parts import PATIENCE_S, Server, check_refused
from tests.serve.tls import HOST, PUBLIC, resolves_to

from qzoom.serve.errors import ServeError
from qzoom.serve.fetch import Target, address_of, fetch, target_of

ALLOWED = frozenset({HOST})
HOSTILE_URLS = [
    "",
    " ",
    HOST,
    f"//{HOST}/x.png",
    f"http://{HOST}/x.png",
    f"HTTP://{HOST}/x.png",
    f"ftp://{HOST}/x.png",
    f"gopher://{HOST}/x.png",
    f"file://{HOST}/etc/passwd",
    "file:///etc/passwd",
    "/etc/passwd",
    "../x.png",
    "C:\\x.png",
    f"https:{HOST}/x.png",
    f"https:/{HOST}/x.png",
    f"https:///{HOST}/x.png",
    f"https://{HOST}.evil.test/x.png",
    f"https://evil.test/{HOST}",
    f"https://evil.test?{HOST}",
    f"https://evil.test#{HOST}",
    f"https://sub.{HOST}/x.png",
    f"https://{HOST}./x.png",
    f"https://{HOST}@evil.test/x.png",
    f"https://{HOST}:443@evil.test/x.png",
    f"https://user@{HOST}/x.png",
    f"https://@{HOST}/x.png",
    f"https://{HOST}\\@evil.test/x.png",
    f"https://evil.test\\@{HOST}/x.png",
    f"https:\\\\{HOST}/x.png",
    f"https://{HOST}\t/x.png",
    f"https://{HOST}/x.png\r\nHost: evil.test",
    f"https://{HOST}/x y.png",
    f"https://{HOST}/\x00x.png",
    f"https://{HOST}/\x7fx.png",
    f" https://{HOST}/x.png",
    f"\thttps://{HOST}/x.png",
    "https://images.t\u00e9st/x.png",
    "https://images\u3002test/x.png",
    "https://\uff49mages.test/x.png",
    f"https://{HOST}:80/x.png",
    f"https://{HOST}:8443/x.png",
    f"https://{HOST}:0/x.png",
    f"https://{HOST}:-443/x.png",
    f"https://{HOST}:99999/x.png",
    f"https://{HOST}:4x3/x.png",
    "https://127.0.0.1/x.png",
    "https://2130706433/x.png",
    "https://0177.0.0.1/x.png",
    "https://0x7f000001/x.png",
    "https://127.1/x.png",
    "https://[::1]/x.png",
    "https://[::ffff:127.0.0.1]/x.png",
    f"https://[{HOST}]/x.png",
    "https://[/x.png",
    "https://%69mages.test/x.png",
    f"https://{HOST}%00.evil.test/x.png",
    f"https://{HOST}%2f@evil.test/x.png",
    f"https://{HOST};.evil.test/x.png",
    f"https://{HOST}/{'x' * 5000}",
    f"data:text/html,https://{HOST}/",
    f"data:image/png,https://{HOST}/",
    f"javascript://{HOST}/x.png",
]
PRIVATE = [
    "127.0.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "fec0::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::",
    "2001:db8::1",
]


@pytest.fixture
def no_connection(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Whatever tries to resolve a name or to connect; nothing may."""
    tried: list[Any] = []

    def refuse(*args: Any, **_: Any) -> Any:
        tried.append(args)
        raise OSError("no network in this test")

    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    yield tried
    assert not tried


def get(url: str, **given: Any) -> bytes:
    return fetch(url, ALLOWED, **({"max_bytes": 100_000, "seconds": 5.0} | given))


@pytest.mark.parametrize("url", HOSTILE_URLS)
def test_a_hostile_url_is_refused_before_anything_is_resolved(
    url: str, no_connection: list[Any]
) -> None:
    with pytest.raises(ServeError) as caught:
        get(url)
    assert caught.value.status == 400
    assert "evil" not in caught.value.message


@given(
    st.sampled_from(HOSTILE_URLS) | st.just(f"https://{HOST}/x.png"),
    st.text(max_size=3) | st.sampled_from(["\\", "@", ":", "#", "?", "//", ".", "%2e", "\u2100"]),
    st.integers(0, 40),
)
@settings(max_examples=400)
def test_whatever_is_accepted_leads_to_the_allowed_host(url: str, text: str, place: int) -> None:
    mixed = url[:place] + text + url[place:]
    try:
        target = target_of(mixed, ALLOWED)
    except ServeError:
        return
    assert target.host == HOST
    assert target.path.startswith("/")
    assert target.path.isascii()
    assert target.path.isprintable()
    assert " " not in target.path
    # What follows the host can only be a port, a path or a query.
    rest = mixed.lower().removeprefix("https://").removeprefix(HOST).removeprefix(":443")
    assert rest.removeprefix(":")[:1] in ("", "/", "?", "#") or rest.startswith(":0")


def test_plain_urls_are_read_as_they_are() -> None:
    assert target_of(f"https://{HOST}", ALLOWED) == Target(HOST, "/")
    assert target_of(f"HTTPS://{HOST.upper()}:443/a?b=c#d", ALLOWED) == Target(HOST, "/a?b=c")
    with pytest.raises(ServeError):
        target_of(f"https://{HOST}/x.png", frozenset())


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_public_is_refused(address: str, no_connection: list[Any]) -> None:
    for answers in ([address], [PUBLIC, address], [address, PUBLIC]):
        with pytest.raises(ServeError, match="not allowed"):
            get(f"https://{HOST}/x.png", resolve=resolves_to(*answers))


def test_public_addresses_pass() -> None:
    for address in (PUBLIC, "2606:2800:220:1:248:1893:25c8:1946", "64:ff9b::5db8:d822"):
        assert address_of(HOST, resolves_to(address)) == address


def test_names_without_an_address_are_refused(no_connection: list[Any]) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror("no such name")

    def unreadable(*_: Any, **__: Any) -> Any:
        raise UnicodeError("label too long")

    for resolve in (unknown, unreadable, resolves_to()):
        with pytest.raises(ServeError):
            get(f"https://{HOST}/x.png", resolve=resolve)


def test_a_resolver_that_does_not_answer_is_given_up(no_connection: list[Any]) -> None:
    given_up, ran_out = threading.Event(), threading.Event()

    def silent(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        if not given_up.wait(PATIENCE_S):
            ran_out.set()
        return resolves_to(PUBLIC)()

    with pytest.raises(ServeError, match="could not be fetched"):
        get(f"https://{HOST}/x.png", seconds=0.1, resolve=silent)
    assert not ran_out.is_set()
    given_up.set()


def test_a_resolver_that_changes_its_answer_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([PUBLIC, "127.0.0.1"])
    connected: list[Any] = []

    def connect(address: Any, timeout: float) -> Any:
        connected.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(ServeError, match="could not be fetched"):
        get(f"https://{HOST}/x.png", resolve=lambda *_, **__: resolves_to(next(answers))())
    assert connected == [(PUBLIC, 443)]
    assert next(answers) == "127.0.0.1"


def test_text_with_an_image_link_opens_nothing(no_connection: list[Any]) -> None:
    with Server(hosts=[HOST]) as server:
        assert server.chat(f"![](https://{HOST}/x.png) <img src='http://evil.test/x'>").text
        refused = server.chat("what?", "https://evil.test/x.png")
        assert "evil" not in check_refused(refused)
