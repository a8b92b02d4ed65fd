"""Image URLs of a request turned into decoded images; no string is ever taken for a path."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image

from qzoom.errors import ImageError
from qzoom.images.decode import decode_image
from qzoom.serve.errors import ServeError
from qzoom.serve.fetch import fetch
from qzoom.serve.limits import Limits
from qzoom.serve.pictures import Decoded, PictureCache

_DATA_URL: Final = re.compile(r"data:image/[a-z0-9.+-]{1,32};base64,", re.IGNORECASE)


@dataclass(frozen=True)
class ImageReader:
    """Reads the images of requests.

    hosts: that images are fetched from; empty fetches none.
    known: pictures decoded before; what was fetched is not among them, as it may change.
    """

    limits: Limits
    hosts: frozenset[str]
    known: PictureCache

    def __call__(self, urls: Sequence[str], caller: str) -> list[Decoded]:
        """Decode the images of a request, the same URL once.

        Raises:
            ServeError: for too many or too large images, and for one that cannot be used.
        """
        limits = self.limits
        if len(urls) > limits.max_images:
            raise ServeError(400, f"{len(urls)} images; the limit is {limits.max_images} a request")
        found: dict[str, Decoded] = {}
        for url in urls:
            if url not in found:
                found[url] = self._read(url, caller)
            if sum(each.size_bytes for each in found.values()) > limits.max_decoded_bytes:
                most = limits.max_decoded_bytes
                raise ServeError(400, f"the images take over {most} bytes decoded; scale down")
        return [found[url] for url in urls]

    def _read(self, url: str, caller: str) -> Decoded:
        decoded = self.known.get(caller, url)
        if decoded is None:
            decoded = Decoded.of(_image_of(url, self.hosts, self.limits))
            if _DATA_URL.match(url):
                self.known.put(caller, url, decoded)
        return decoded


def _image_of(url: str, hosts: frozenset[str], limits: Limits) -> Image.Image:
    try:
        image = decode_image(_bytes_of(url, hosts, limits), limits.image)
    except ImageError as error:
        raise ServeError(400, str(error)) from None
    least = limits.min_image_side_px
    if min(image.size) < least:
        raise ServeError(
            400, f"the image is {image.width}x{image.height} px; each side needs {least}"
        )
    return image


def _bytes_of(url: str, hosts: frozenset[str], limits: Limits) -> bytes:
    head = _DATA_URL.match(url)
    if head is None:
        if not hosts:
            raise ServeError(
                400,
                "images come as data URLs (data:image/png;base64,...); this server fetches none",
            )
        return fetch(url, hosts, max_bytes=limits.max_image_bytes, seconds=limits.fetch_s)
    if len(url) - head.end() > limits.max_image_bytes * 4 // 3 + 4:
        raise ServeError(400, f"an image is over {limits.max_image_bytes} bytes")
    try:
        return base64.b64decode(url[head.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise ServeError(400, "an image's data URL is not valid base64") from None
