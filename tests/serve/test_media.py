"""Images of a request, however broken: an answer or one clear line, and nothing is ever opened."""

from __future__ import annotations

import builtins
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import transformers.image_utils
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.serve.parts import Reply, Server, check_refused, data_url, encoded, photo
from tests.tiny_chat import picture

URLS = [
    "/etc/passwd",
    "etc/passwd",
    "../x.png",
    "../../../../etc/passwd",
    "~/x.png",
    "./tests/data/x.png",
    "file:///etc/passwd",
    "file://localhost/etc/passwd",
    "FILE:/etc/passwd",
    "http://127.0.0.1/x.png",
    "https://example.org/x.png",
    "//example.org/x.png",
    "ftp://example.org/x.png",
    "blob:https://example.org/1",
    "attachment://x.png",
    "\\\\server\\x.png",
    "",
    " ",
    "\x00",
    "x" * 10_000,
]
BROKEN_DATA_URLS = [
    "data:",
    "data:image/png",
    "data:image/png,AAAA",
    "data:image/png;base64",
    "data:image/png;base64,",
    "data:image/png;base64,A",
    "data:image/png;base64,====",
    "data:image/png;base64,AAA\n",
    "data:image/png;base64,\u00e9\u00e9\u00e9\u00e9",
    "data:image/png;base64,%41%41%41%41",
    "data:image/png;base64,/etc/passwd",
    "data:image/png;charset=utf-8;base64,AAAA",
    "data:text/html;base64,AAAA",
    "data:application/pdf;base64,AAAA",
    "data:image/;base64,AAAA",
    "data:image/../x;base64,AAAA",
    "data://image/png;base64,AAAA",
    " data:image/png;base64,AAAA",
    f"data:image/{'x' * 100};base64,AAAA",
]
WHITE = Image.new("RGB", (40, 40), "white")


def png(width: int, height: int, body: bytes = b"\0" * 64, *extra: bytes) -> bytes:
    """A PNG that claims a size and holds what it is given."""

    def chunk(name: bytes, data: bytes) -> bytes:
        whole = name + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    texts = b"".join(chunk(b"zTXt", b"a\0\0" + text) for text in extra)
    data = chunk(b"IDAT", zlib.compress(body))
    return b"\x89PNG\r\n\x1a\n" + head + texts + data + chunk(b"IEND", b"")


def grey16() -> bytes:
    levels = np.arange(40 * 40, dtype=np.uint16).reshape(40, 40) * 40
    return encoded(Image.fromarray(levels))


def frames(kind: str, count: int = 40) -> bytes:
    first, *more = [picture(60, 40, seed).convert("RGB") for seed in range(count)]
    return encoded(first, kind, save_all=True, append_images=more, duration=20)


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(WHITE, "JPEG", exif=exif)


def with_shape(*shape: int) -> bytes:
    return encoded(Image.new("RGB", (shape[0], shape[1]), "blue"))


GOOD: dict[str, Callable[[], bytes]] = {
    "RGB": lambda: encoded(WHITE),
    "RGBA": lambda: encoded(WHITE.convert("RGBA")),
    "P": lambda: encoded(WHITE.convert("P")),
    "P with transparency": lambda: encoded(WHITE.convert("P"), transparency=0),
    "L": lambda: encoded(WHITE.convert("L")),
    "LA": lambda: encoded(WHITE.convert("LA")),
    "1": lambda: encoded(WHITE.convert("1")),
    "16 bit": grey16,
    "CMYK": lambda: encoded(WHITE.convert("CMYK"), "JPEG"),
    "turned": turned,
    "GIF": lambda: frames("GIF"),
    "WEBP": lambda: frames("WEBP", 4),
    "APNG": lambda: frames("PNG", 4),
    "28x28": lambda: with_shape(28, 28),
    "1000x28": lambda: with_shape(1000, 28),
}
BAD: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "1x1": lambda: with_shape(1, 1),
    "27x27": lambda: with_shape(27, 27),
    "1x10000": lambda: with_shape(1, 10_000),
    "65535x1": lambda: with_shape(65_535, 1),
    "28x60000": lambda: with_shape(28, 60_000),
    "70000x28": lambda: with_shape(70_000, 28),
    "zero width": lambda: png(0, 40),
    "zero height": lambda: png(40, 0),
    "50k square": lambda: png(50_000, 50_000),
    "9k square": lambda: png(9_000, 9_000),
    "2**31 wide": lambda: png(2**31 - 1, 2**31 - 1),
    "negative": lambda: png(2**32 - 1, 40),
    "no pixels": lambda: png(40, 40),
    "half a file": lambda: encoded(picture(80, 80))[:500],
    "signature only": lambda: b"\x89PNG\r\n\x1a\n",
    "text bomb": lambda: png(40, 40, b"\0" * 4840, zlib.compress(b"\0" * 50_000_000)),
    "many texts": lambda: png(40, 40, b"\0" * 4840, *[zlib.compress(b"\0" * 10**6)] * 100),
    "BMP": lambda: encoded(WHITE, "BMP"),
    "TIFF": lambda: encoded(WHITE, "TIFF"),
    "PPM": lambda: encoded(WHITE, "PPM"),
    "ICO": lambda: encoded(WHITE, "ICO"),
    "PDF": lambda: encoded(WHITE, "PDF"),
    "EPS": lambda: encoded(WHITE, "EPS"),
    "SVG": lambda: b"<svg xmlns='http://www.w3.org/2000/svg'><image href='/etc/passwd'/></svg>",
    "text": lambda: b"root:x:0:0:root:/root:/bin/sh\n",
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(
        max_images=3, max_image_bytes=200_000, max_body_bytes=2_000_000, max_decoded_bytes=500_000
    ) as running:
        yield running


@pytest.fixture(scope="module")
def usual(server: Server) -> str:
    """The answer to an ordinary request."""
    return server.chat("what is the total?", photo()).text


@pytest.fixture
def nothing_opened(server: Server, usual: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Proof that no string is taken for a path, and that the server answers afterwards."""
    opened: list[Any] = []

    def refuse(*args: Any, **_: Any) -> Any:
        opened.append(args)
        raise OSError("nothing is opened in this test")

    image_open = Image.open

    def open_buffer(source: Any, *args: Any, **kwargs: Any) -> Any:
        assert isinstance(source, io.BytesIO)
        return image_open(source, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "open", refuse)
        patch.setattr(io, "open", refuse)
        patch.setattr(transformers.image_utils, "load_image", refuse)
        patch.setattr(Image, "open", open_buffer)
        yield
    assert not opened
    assert server.chat("what is the total?", photo()).text == usual


def look(server: Server, *urls: str) -> Reply:
    return server.chat("what is the total?", *urls)


@pytest.mark.parametrize("url", URLS, ids=lambda url: ascii(url[:30]))
def test_a_string_is_never_a_path(server: Server, nothing_opened: None, url: str) -> None:
    message = check_refused(look(server, url))
    assert "data URL" in message
    assert "passwd" not in message
    assert "example" not in message


@pytest.mark.parametrize("url", BROKEN_DATA_URLS, ids=lambda url: ascii(url[:40]))
def test_broken_data_urls_are_refused(server: Server, nothing_opened: None, url: str) -> None:
    message = check_refused(look(server, url))
    assert "passwd" not in message


@pytest.mark.parametrize("name", GOOD)
def test_images_of_every_mode_are_answered(server: Server, nothing_opened: None, name: str) -> None:
    reply = look(server, data_url(GOOD[name]()))
    assert reply.text is not None
    assert reply.json["qzoom"]["visual_tokens"] >= 1


@pytest.mark.parametrize("name", BAD)
def test_bad_images_are_refused(server: Server, nothing_opened: None, name: str) -> None:
    check_refused(look(server, data_url(BAD[name]())))
    # Beside a good one too.
    check_refused(look(server, photo(), data_url(BAD[name]())))


def test_what_the_type_says_does_not_matter(server: Server) -> None:
    jpeg = encoded(WHITE, "JPEG")
    assert look(server, data_url(jpeg, "png")).text == look(server, data_url(jpeg, "jpeg")).text
    check_refused(look(server, data_url(encoded(WHITE, "TIFF"), "png")))


def test_of_an_animation_the_first_frame_counts(server: Server) -> None:
    still = encoded(picture(60, 40).convert("RGB"), "GIF")
    assert look(server, data_url(frames("GIF"))).text == look(server, data_url(still)).text


def test_too_many_images_are_refused(server: Server) -> None:
    urls = [data_url(encoded(picture(40, 40, seed))) for seed in range(4)]
    assert look(server, *urls[:3]).text is not None
    assert "4 images; the limit is 3" in check_refused(look(server, *urls))
    assert "4 images; the limit is 3" in check_refused(look(server, *[urls[0]] * 4))
    content = [{"type": "image_url", "image_url": {"url": urls[0]}}]
    turns = [{"role": "user", "content": content}] * 4
    assert "the limit is 3" in check_refused(server.post({"messages": turns}))


def test_too_many_bytes_are_refused(server: Server) -> None:
    small = encoded(WHITE)
    padded = small + b"\0" * (200_000 - len(small))
    assert look(server, data_url(padded)).text is not None
    for more in (1, 4, 100_000):
        assert "200000" in check_refused(look(server, data_url(padded + b"\0" * more)))


def test_too_many_pixels_together_are_refused(server: Server) -> None:
    half = data_url(encoded(Image.new("RGB", (320, 260), "red")))
    other = data_url(encoded(Image.new("RGB", (320, 261), "red")))
    assert look(server, half, half).text is not None
    assert look(server, half, photo()).text is not None
    assert "500000 bytes decoded" in check_refused(look(server, half, other, photo()))


@given(
    st.sampled_from(["PNG", "JPEG", "GIF", "WEBP"]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
    st.floats(0.1, 1),
)
@settings(max_examples=80)
def test_mutated_bytes_give_an_answer_or_one_line(
    server: Server, kind: str, changes: list[tuple[float, int]], kept: float
) -> None:
    data = bytearray(encoded(picture(48, 40), kind))
    for place, value in changes:
        data[int(place * (len(data) - 1))] = value
    reply = look(server, data_url(bytes(data[: int(kept * len(data))] if kept < 0.6 else data)))
    if reply.status != 200:
        check_refused(reply)


@given(st.binary(max_size=300), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF"]))
@settings(max_examples=60)
def test_arbitrary_bytes_are_refused(server: Server, data: bytes, head: bytes) -> None:
    check_refused(look(server, data_url(head + data)))


@given(st.text(max_size=60))
@settings(max_examples=60)
def test_arbitrary_strings_are_refused(server: Server, url: str) -> None:
    check_refused(look(server, url.encode(errors="ignore").decode()))
