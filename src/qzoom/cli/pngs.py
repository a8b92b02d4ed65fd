"""Writing a PNG: its path is checked before any work, the file appears whole or not at all."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from qzoom.cli.arguments import UsageError

if TYPE_CHECKING:
    from PIL import Image


def check_png_target(path: Path, source: str) -> None:
    """Refuse a path that cannot become a PNG.

    Args:
        path: Where the picture shall go; an older picture there is replaced.
        source: The image that is read, which must not be overwritten.

    Raises:
        UsageError: If the path does not end in .png, is a folder or the source, or its folder is
            missing or read-only.
    """
    folder = path.parent
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path} does not end in .png; pictures are written as PNG only")
    if not folder.is_dir():
        raise UsageError(f"no folder {folder}; create it first")
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"folder {folder} is not writable; choose another")
    if path.exists() and Path(source).exists() and path.samefile(source):
        raise UsageError(f"{path} is the image itself; choose another file")


def write_png(image: Image.Image, path: Path) -> None:
    """Write a picture beside its place and move it there.

    Raises:
        OSError: If the disk is full or the folder has gone.
    """
    draft = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.partial"
    try:
        image.save(draft, format="PNG")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
