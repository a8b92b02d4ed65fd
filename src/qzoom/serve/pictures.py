"""Pictures decoded before, so that the next question about one does not decode it again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from PIL import Image

from qzoom.serve.budget import BudgetCache


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
    """Pictures by whose they are and what was sent. Threads may share it."""

    def __init__(self, budget_bytes: int) -> None:
        self._kept = BudgetCache[Decoded](budget_bytes)

    def get(self, caller: str, url: str) -> Decoded | None:
        """What a caller's data URL was decoded to."""
        return self._kept.get(_key(caller, url))

    def put(self, caller: str, url: str, decoded: Decoded) -> None:
        """Keep a picture."""
        self._kept.put(_key(caller, url), decoded)


def _key(caller: str, url: str) -> str:
    return hashlib.sha256(f"{caller} {url}".encode("utf-8", "surrogatepass")).hexdigest()
