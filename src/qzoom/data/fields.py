"""Checked values of JSON objects: every failure is one line that names the field."""

from __future__ import annotations

import difflib
import math
import reprlib
from collections.abc import Iterable
from typing import Any

from qzoom.errors import DataError

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


def shown(value: object) -> str:
    """A value as it appears in an error: short whatever its size, and on one line."""
    return " ".join(_SHORT.repr(value).split())


def text(value: object, name: str) -> str:
    """Text that says something and can be written as UTF-8."""
    if not isinstance(value, str):
        raise DataError(f"{name} must be text, got {shown(value)}")
    if not value.strip():
        raise DataError(f"{name} is empty")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise DataError(f"{name} holds half a character (a lone surrogate)") from None
    return value


def number(value: object, name: str) -> float:
    """A finite number."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            as_float = float(value)
        except OverflowError:
            as_float = math.inf
        if math.isfinite(as_float):
            return as_float
    raise DataError(f"{name} must be a finite number, got {shown(value)}")


def whole_number(value: object, name: str, least: int = 0) -> int:
    """A whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise DataError(f"{name} must be a whole number of at least {least}, got {shown(value)}")
    return value


def items(value: object, name: str) -> list[Any]:
    """A JSON list."""
    if not isinstance(value, list):
        raise DataError(f"{name} must be a list, got {shown(value)}")
    return value


def mapping(value: object, name: str) -> dict[str, Any]:
    """A JSON object."""
    if not isinstance(value, dict):
        raise DataError(f"{name} must be a JSON object, got {shown(value)}")
    return value


def required(obj: dict[str, Any], key: str) -> Any:
    """The value of a key that has to be there."""
    if key not in obj:
        raise DataError(f"{key!r} is missing")
    return obj[key]


def only_known(obj: dict[str, Any], known: Iterable[str], name: str) -> None:
    """Refuse keys that mean nothing here, and suggest the nearest one that does."""
    names = list(known)
    for key in obj:
        if key not in names:
            raise DataError(f"{name} has an unknown key {shown(key)}{suggestion(key, names)}")


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown name."""
    names = list(known)
    near = difflib.get_close_matches(name[:60], names, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(names)}"
