"""What an allowed host sends: a whole image within the limits, or a refusal before the deadline."""

from __future__ import annotations

import ssl
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.serve.parts import encoded
from tests.serve.tls import HOST, PUBLIC, answering, certificate, lead_to, resolves_to, response
from tests.tiny_chat import picture

from qzoom.serve.errors import ServeError
from qzoom.serve.fetch import fetch


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"))


class Site:
    """Fetches from the test's own server, under a public name and address."""

    def __init__(self, pem: Path, patch: pytest.MonkeyPatch) -> None:
        self._pem = pem
        self._patch = patch

    def get(self, answer: Any, *, trusted: bool = True, **given: Any) -> bytes:
        said = answer if callable(answer) else lambda line: line.sendall(answer)
        context = ssl.create_default_context(cafile=self._pem) if trusted else None
        with answering(self._pem, said) as port, self._patch.context() as patch:
            lead_to(port, patch)
            return fetch(
                f"https://{HOST}/x.png?y=1",
                frozenset({HOST}),
                resolve=resolves_to(PUBLIC),
                context=context,
                **{"max_bytes": 100_000, "seconds": 5.0} | given,
            )


@pytest.fixture
def site(pem: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(pem, monkeypatch)


def test_an_image_of_an_allowed_host_comes_whole(site: Site) -> None:
    image = encoded(picture(120, 80))
    assert site.get(response(image)) == image
    assert site.get(response(image, "Connection: close")) == image
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(image), image)
    assert site.get(response(chunked, "Transfer-Encoding: chunked")) == image


def test_a_server_that_cannot_prove_its_name_is_refused(site: Site) -> None:
    with pytest.raises(ServeError, match="could not be fetched"):
        site.get(response(b"image"), trusted=False)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (response(b"", "Location: https://127.0.0.1/", status="302 Found"), "did not answer"),
        (response(b"", f"Location: https://{HOST}/", status="301 Moved"), "did not answer"),
        (response(b"x", status="404 Not Found"), "did not answer"),
        (response(b"x", status="206 Partial Content"), "did not answer"),
        (response(b"x" * 2000), "over 1000 bytes"),
        (response(b"x" * 2000, "Connection: close"), "over 1000 bytes"),
        (response(b"x" * 2000, "Content-Length: 10000000000"), "over 1000 bytes"),
        (
            response(b"7d0\r\n" + b"x" * 2000 + b"\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
            "over 1000 bytes",
        ),
        (response(b"x" * 100, "Content-Length: 900"), "could not be fetched"),
        (response(b"64\r\n" + b"x" * 10, "Transfer-Encoding: chunked"), "could not be fetched"),
        (response(b"zz\r\n", "Transfer-Encoding: chunked"), "could not be fetched"),
        (b"nonsense\r\n\r\n", "could not be fetched"),
        (b"", "could not be fetched"),
        (response(b"x", *(f"X-{n}: 1" for n in range(300))), "could not be fetched"),
        (response(b"x", "X: " + "x" * 70_000), "could not be fetched"),
    ],
)
def test_other_answers_are_refused(site: Site, answer: bytes, says: str) -> None:
    with pytest.raises(ServeError, match=says) as caught:
        site.get(answer, max_bytes=1000)
    assert caught.value.status == 400


def test_a_longer_body_than_declared_is_cut_where_it_was_declared(site: Site) -> None:
    assert site.get(response(b"x" * 100, "Content-Length: 10")) == b"x" * 10


@pytest.mark.parametrize(
    "head",
    [
        response(b"", "Content-Length: 1000"),
        response(b"", "Connection: close"),
        response(b"", "Transfer-Encoding: chunked"),
        b"HTTP/1.1 200 OK\r\nX: ",
        b"HTTP/1.1 100 Continue\r\n",
    ],
    ids=["length", "no length", "chunked", "header", "status"],
)
def test_a_line_that_trickles_is_cut_at_the_deadline(site: Site, head: bytes) -> None:
    done, ran_out = threading.Event(), threading.Event()

    def trickle(line: ssl.SSLSocket) -> None:
        line.sendall(head)
        end = time.monotonic() + 20
        # Far faster than any timeout of a single read.
        while not done.wait(0.05):
            line.sendall(b"1\r\nx\r\n" if b"chunked" in head else b"x")
            if time.monotonic() > end:
                return ran_out.set()

    with pytest.raises(ServeError, match="could not be fetched"):
        site.get(trickle, seconds=0.4)
    done.set()
    assert not ran_out.is_set()
