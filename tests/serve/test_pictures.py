"""Pictures that are known are not decoded again, and never another caller's."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image
from tests.tiny_chat import picture

from qzoom.images.data_url import data_url
from qzoom.serve import media
from qzoom.serve.limits import Limits
from qzoom.serve.media import ImageReader
from qzoom.serve.pictures import Decoded, PictureCache


def reader(**limits: Any) -> ImageReader:
    found = Limits(**limits)
    return ImageReader(found, frozenset(), PictureCache(found.picture_cache_bytes))


def test_a_picture_is_decoded_once_for_each_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bytes] = []
    decode = media.decode_image

    def counted(data: bytes, *limits: Any) -> Image.Image:
        calls.append(data)
        return decode(data, *limits)

    monkeypatch.setattr(media, "decode_image", counted)
    read, url = reader(), data_url(picture(), "png")
    first, again = read([url, url], "a")
    assert first is again
    assert read([url], "a") == [first]
    assert len(calls) == 1
    assert read([url], "b")[0].digest == first.digest
    assert len(calls) == 2


def test_the_least_used_go_first() -> None:
    urls = [data_url(picture(60, 60, seed=seed), "png") for seed in range(3)]
    read = reader(picture_cache_bytes=2 * 3 * 60 * 60)
    for url in (urls[0], urls[1], urls[0], urls[2]):
        read([url], "a")
    assert [read.known.get("a", url) is not None for url in urls] == [True, False, True]
    none = reader(picture_cache_bytes=0)
    none(urls, "a")
    assert none.known.get("a", urls[0]) is None


def test_same_bytes_in_another_shape_are_another_picture() -> None:
    data = bytes(range(24))
    wide, tall = (Image.frombytes("RGB", size, data) for size in ((4, 2), (2, 4)))
    grey = Image.frombytes("L", (6, 4), data)
    assert len({Decoded.of(image).digest for image in (wide, tall, grey)}) == 3
