"""Pictures decoded before, so that the next question about one does not decode it again."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True)
class Decoded:
    """A decoded image, and a digest of its pixels, size and mode: no two images share one."""

    image: Image.Image
    digest: bytes

    @classmethod
    def of(cls, image: Image.Image) -> Decoded:
        """Digest an image."""
        digest = hashlib.sha256(f"{image.mode} {image.width} {image.height} ".encode())
        digest.update(image.tobytes())
        return cls(image, digest.digest())

    @property
    def size_bytes(self) -> int:
        """Memory as decoded, 3 bytes per pixel."""
        return 3 * self.image.width * self.image.height


class PictureCache:
    """Pictures by whose they are and what was sent; the one unused for longest goes first.

    Threads may share it.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._lock = threading.Lock()
        self._found: OrderedDict[bytes, Decoded] = OrderedDict()
        self._used_bytes = 0

    def get(self, caller: str, url: str) -> Decoded | None:
        """What a caller's data URL was decoded to."""
        key = _key(caller, url)
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
            return self._found.get(key)

    def put(self, caller: str, url: str, decoded: Decoded) -> None:
        """Keep a picture, and drop others until all fit."""
        key, size = _key(caller, url), decoded.size_bytes
        with self._lock:
            if key in self._found or size > self._budget_bytes:
                return
            while self._used_bytes + size > self._budget_bytes:
                self._used_bytes -= self._found.popitem(last=False)[1].size_bytes
            self._found[key] = decoded
            self._used_bytes += size


def _key(caller: str, url: str) -> bytes:
    return hashlib.sha256(f"{caller} {url}".encode("utf-8", "surrogatepass")).digest()
