"""Images of records: found inside their root, opened by the one decoder."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from qzoom.data.paths import relative_path
from qzoom.errors import DataError, ImageError
from qzoom.images.decode import decode_image


class MissingImageError(DataError):
    """A record names an image that is not there."""


class ImageFolder:
    """A root folder of images; nothing outside it is ever opened, by symlink or otherwise."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise DataError(f"no image folder at {root}; name the root of the images' paths")
        self.root = root
        self._real_root = root.resolve()

    def find(self, path: str) -> Path:
        """The real file of a record's path.

        Raises:
            MissingImageError: when there is no such file.
            DataError: when the path, or a symlink on it, leads out of the root.
        """
        relative_path(path, "image")
        try:
            real = (self.root / path).resolve(strict=True)
        # RuntimeError: a loop of symlinks; ValueError: a name that no file can have.
        except (OSError, RuntimeError, ValueError):
            raise MissingImageError(f"no image {path!r} under {self.root}") from None
        if not real.is_relative_to(self._real_root):
            raise DataError(f"image {path!r} leads out of {self.root} by a symlink")
        if not real.is_file():
            raise MissingImageError(f"image {path!r} under {self.root} is not a file")
        return real

    def open(self, path: str) -> Image.Image:
        """The decoded image of a record's path.

        Raises:
            DataError: as `find`.
            ImageError: when it cannot be decoded.
        """
        found = self.find(path)
        try:
            return decode_image(found)
        except ImageError as error:
            raise ImageError(f"image {path!r}: {error}") from None
