"""Paths of images as records write them: relative, with forward slashes, inside their root."""

from __future__ import annotations

import re
from typing import Final

from qzoom.data.fields import shown, text
from qzoom.errors import DataError

MAX_CHARS: Final = 1024

# "C:", "http://" and "data:" alike: a path that starts so is not relative on some system.
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:")


def relative_path(value: object, name: str) -> str:
    """The path itself.

    Raises:
        DataError: when it is empty, absolute, a URL, has a backslash or leaves its root.
    """
    path = text(value, name)
    if len(path) > MAX_CHARS:
        raise DataError(f"{name} has {len(path)} characters, the limit is {MAX_CHARS}")
    if "\\" in path or "\0" in path:
        raise DataError(f"{name} must use forward slashes only, got {shown(path)}")
    if path.startswith("/") or _SCHEME.match(path):
        raise DataError(f"{name} must be relative to the image root, got {shown(path)}")
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise DataError(f"{name} must have no empty, '.' or '..' part, got {shown(path)}")
    return path


def moved(path: str, moves: tuple[tuple[str, str], ...]) -> str:
    """The path with the first matching leading part replaced.

    Args:
        moves: (old, new) leading parts, such as ("/data/sets/", "") or ("coco2017/", "coco/").
    """
    for old, new in moves:
        if path.startswith(old):
            return new + path[len(old) :]
    return path
