"""Images of records: found inside their root, opened by the one decoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from qzoom.data.paths import relative_path
from qzoom.errors import DataError, ImageError
from qzoom.images.decode import decode_image

ImageRoots = Path | Sequence[Path]
"""A root folder of images, or several that share no path."""


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


class ImageFolders(ImageFolder):
    """Several root folders; an image is in exactly one of them."""

    def __init__(self, roots: Sequence[Path]) -> None:
        if not roots:
            raise DataError("no image folder is named; name the root of the images' paths")
        super().__init__(roots[0])
        self._folders = [ImageFolder(root) for root in roots]

    def find(self, path: str) -> Path:
        """The real file of a record's path.

        Raises:
            MissingImageError: when no folder has such a file.
            DataError: when several have one, or as `ImageFolder.find`.
        """
        found = {}
        for folder in self._folders:
            try:
                found[folder.root] = folder.find(path)
            except MissingImageError:
                continue
        roots = " and ".join(str(root) for root in found or (f.root for f in self._folders))
        if not found:
            raise MissingImageError(f"no image {path!r} under {roots}")
        if len(found) > 1:
            raise DataError(f"image {path!r} is under {roots}; rename one, or train on one folder")
        return next(iter(found.values()))


def image_folder(images: ImageRoots) -> ImageFolder:
    """The folder, or folders, of images.

    Raises:
        DataError: when one is not there.
    """
    return ImageFolder(images) if isinstance(images, Path) else ImageFolders(images)
