"""Cells of published benchmark files: texts, lists that are written as text, pictures."""

from __future__ import annotations

import ast
import base64
import binascii
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from qzoom.data import fields
from qzoom.data.paths import relative_path
from qzoom.data.readers.rows import name_of
from qzoom.errors import DataError
from qzoom.eval.benchmarks.tsv import MAX_REFERENCE_CHARS
from qzoom.eval.samples import image_sha256

_MAX_LIST_CHARS: Final = 100_000


def text_of(value: object, name: str) -> str:
    """Text that is not blank; a number is written out."""
    if isinstance(value, float):
        return str(fields.number(value, name))
    return name_of(value, name)


def texts_of(value: object, name: str) -> tuple[str, ...]:
    """Texts of a list, not all of them blank, or the only text."""
    if not isinstance(value, list):
        return (text_of(value, name),)
    found = tuple(
        each if isinstance(each, str) and not each.strip() else text_of(each, f"{name}[{place}]")
        for place, each in enumerate(value)
    )
    if not any(text.strip() for text in found):
        raise DataError(f"{name} holds no text, got {fields.shown(value)}")
    return found


def written_list(text: str) -> Any:
    """The list that a text writes as Python does, or the text."""
    if not text.lstrip().startswith("[") or len(text) > _MAX_LIST_CHARS:
        return text
    try:
        found = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    return found if isinstance(found, list) else text


def image_of(
    value: object, name: str, folder: Path, image_at: Callable[[str], str] | None
) -> bytes | Path:
    """The picture of a cell: its bytes, or its path below the folder.

    Args:
        image_at: of a TSV, the image cell of the row with an index.

    Raises:
        DataError: when there is none, or its path leads out of the folder.
    """
    if isinstance(value, Mapping):
        value = value.get("path") if value.get("bytes") is None else value["bytes"]
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"no picture in column {name!r}, got {fields.shown(value)}")
    # A path has a dot, base64 has none.
    if image_at is not None and len(value) <= MAX_REFERENCE_CHARS and "." not in value:
        value = image_at(value)
    if value.startswith("data:"):
        return _decoded(value.partition(",")[2], name)
    return below(folder, value, name) if "." in value else _decoded(value, name)


def image_key(image: bytes | Path) -> str:
    """A name that questions of one picture share: the hash of its bytes; of no file, its path."""
    if isinstance(image, Path) and not image.is_file():
        return str(image)
    return image_sha256(image)[:16]


def below(folder: Path, path: str, name: str) -> Path:
    """A relative path below a folder.

    Raises:
        DataError: when it leads out of the folder, by a symlink or otherwise.
    """
    found = folder / relative_path(path, name)
    try:
        real = found.resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of symlinks
        raise DataError(f"{name} {fields.shown(path)} is no file") from None
    if not real.is_relative_to(_root(folder)):
        raise DataError(f"{name} {fields.shown(path)} leads out of {folder} by a symlink")
    return found


def _decoded(text: str, name: str) -> bytes:
    try:
        found = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise DataError(f"{name} is not base64: {fields.shown(text)}") from None
    if not found:
        raise DataError(f"{name} is empty")
    return found


def _root(folder: Path) -> Path:
    """Where files may really be; those of a snapshot of the hub lie in `blobs` beside it."""
    real = folder.resolve()
    for parent in (real, *real.parents):
        if parent.name == "snapshots" and (parent.parent / "blobs").is_dir():
            return parent.parent
    return real
