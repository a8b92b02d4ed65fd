"""Images of unknown origin, from the file to the answer: one clear line or an answer."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.tiny_chat import chat_model, counting, picture

from qzoom.errors import ImageError, QZoomError

MODEL = chat_model("qwen3_vl")
ZOOM: dict[str, Any] = {"max_new_tokens": 2, "zoom": "always", "roi_threshold": 0.0}


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds a few bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        whole = name + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def animation() -> bytes:
    frames = [picture(120, 80, seed=seed).convert("P") for seed in range(3)]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)


def deep_grey() -> bytes:
    levels = np.arange(120 * 80, dtype=np.uint16).reshape(80, 120) * 6
    return saved(Image.fromarray(levels), "PNG")


def palette_with_transparency() -> bytes:
    return saved(picture(120, 80).convert("P"), "PNG", transparency=3)


GOOD: dict[str, Callable[[], Any]] = {
    "1x1": lambda: saved(Image.new("RGB", (1, 1), "red"), "PNG"),
    "1x200": lambda: saved(Image.new("RGB", (1, 200), "red"), "PNG"),
    "200x1": lambda: saved(Image.new("RGB", (200, 1), "red"), "PNG"),
    "animated GIF": animation,
    "16 bit": deep_grey,
    "CMYK": lambda: saved(picture(120, 80).convert("CMYK"), "JPEG"),
    "palette": palette_with_transparency,
    "black and white": lambda: saved(picture(120, 80).convert("1"), "TIFF"),
    "transparent": lambda: saved(Image.new("RGBA", (90, 90)), "WEBP"),
    "pillow": lambda: picture(120, 80).convert("LAB"),
}
BAD: dict[str, tuple[Any, str]] = {
    "1x10000": (saved(Image.new("RGB", (1, 10_000)), "PNG"), "aspect ratio of 10000"),
    "201x1": (saved(Image.new("RGB", (201, 1)), "PNG"), "aspect ratio of 201"),
    "many pixels": (png_header(30_000, 30_000), "30000x30000|more pixels"),
    "a long side": (png_header(100_000, 1), "100000x1"),
    "two thirds": (saved(picture(), "PNG")[:-9000], "damaged or incomplete|not a readable"),
    "half a photo": (saved(picture(), "JPEG")[:2000], "damaged or incomplete"),
    "an empty body": (png_header(50, 50), "damaged or incomplete"),
    "nothing": (b"", "0 bytes"),
    "text": (b"<svg onload='x'/>", "not a readable image"),
    "no file": ("nowhere/picture.png", "no image file"),
    "a URL": ("https://example.org/picture.png", "not fetched from URLs"),
    "a data URL": ("data:image/png;base64,AAAA", "not fetched from URLs"),
    "a file URL": ("file:///etc/passwd", "not fetched from URLs"),
    "a zero byte": ("pic\0ture.png", "cannot read"),
    "nothing at all": (None, "cannot read an image from NoneType"),
    "a number": (7, "cannot read an image from int"),
}


@pytest.mark.parametrize("name", GOOD)
def test_odd_images_are_answered_with_and_without_a_crop(name: str) -> None:
    session = MODEL.open(GOOD[name]())
    assert session.images[0].mode == "RGB"
    direct = session.ask("what is the total?", max_new_tokens=2, zoom="never")
    assert direct.usage["visual_tokens"] <= 200
    answer = session.ask("what is the total?", **ZOOM)
    width, height = session.images[0].size
    for x1, y1, x2, y2 in answer.boxes_xyxy_px:
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height


@pytest.mark.parametrize("name", BAD)
def test_bad_images_are_refused_in_one_line_before_anything_is_computed(name: str) -> None:
    source, says = BAD[name]
    with counting(MODEL) as counts, pytest.raises(ImageError, match=says) as caught:
        MODEL.open(source)
    assert "\n" not in str(caught.value)
    assert counts.images == 0
    with pytest.raises(ImageError, match=says):
        MODEL.open([picture(), source])
    with pytest.raises(ImageError, match=says):
        MODEL.ask_many([(picture(), "what?"), (source, "what?")])


def test_places_that_are_no_files(tmp_path: Path) -> None:
    for place in (tmp_path, "/dev/zero"):
        with pytest.raises(ImageError):
            MODEL.open(place)


def test_bytes_of_every_kind_are_one_image() -> None:
    data = saved(picture(), "PNG")
    for source in (data, bytearray(data), memoryview(data), io.BytesIO(data)):
        assert len(MODEL.open(source).images) == 1  # type: ignore[arg-type]


def test_a_crop_too_thin_to_encode_is_answered_directly() -> None:
    # 200x1 cells would pass; 300 px by the least side of 28 px does, 28 px by 1 px is what is left.
    thin = Image.new("RGB", (200, 1), "blue")
    answer = MODEL.open(thin).ask("what is the total?", **ZOOM)
    assert isinstance(answer.zoomed, bool)
    assert answer.heatmap is not None


def test_damaged_bytes_never_raise_anything_else() -> None:
    rng = np.random.default_rng(0)
    data = np.frombuffer(saved(picture(64, 64), "PNG"), dtype=np.uint8)
    messages = []
    for _ in range(60):
        broken = data.copy()
        places = rng.integers(0, len(broken), 6)
        broken[places] = rng.integers(0, 256, 6)
        try:
            MODEL.open(broken.tobytes())
        except QZoomError as error:
            messages.append(str(error))
    assert len(messages) > 10
    assert not any("\n" in message for message in messages)
