"""Whether a value is plain data of a bearable size: no globals, no cycles, no nested bombs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from qzoom.data.fields import shown
from qzoom.errors import DataError

_LEAVES = (type(None), bool, int, float, str, bytes, bytearray, np.generic, np.ndarray)


class PlainCheck:
    """Checks one value, looking at each list, dict and tuple in it once."""

    def __init__(self, max_items: int, max_depth: int) -> None:
        self._max_items = max_items
        self._max_depth = max_depth
        # Items and height of what has been looked at, by identity; the value keeps it all alive.
        self._known: dict[int, tuple[int, int]] = {}

    def check(self, value: object) -> None:
        """Look through a value.

        Raises:
            DataError: when it is nested too deep or holds itself, or when a walk through it would
                meet too many items, or one that is no plain data.
        """
        items, _ = self._measure(value, 1)
        if items > self._max_items:
            raise DataError(f"more than {self._max_items} items, shared ones counted each time")

    def _measure(self, value: object, depth: int) -> tuple[int, int]:
        """Items in a value, itself included, and its height."""
        if isinstance(value, _LEAVES):
            return 1, 0
        if not isinstance(value, list | dict | tuple):
            raise DataError(f"a {type(value).__name__} {shown(value)} is no plain data")
        found = self._known.get(id(value))
        if found is None:
            self._check_depth(depth)
            found = self._measure_all(_parts(value), depth + 1)
            self._known[id(value)] = found
        self._check_depth(depth + found[1] - 1)
        return found

    def _measure_all(self, parts: Iterable[Any], depth: int) -> tuple[int, int]:
        items, height = 1, 0
        for part in parts:
            part_items, part_height = self._measure(part, depth)
            items += part_items
            height = max(height, part_height)
        return items, height + 1

    def _check_depth(self, depth: int) -> None:
        if depth > self._max_depth:
            raise DataError(f"nested more than {self._max_depth} deep, or it holds itself")


def _parts(value: list[Any] | dict[Any, Any] | tuple[Any, ...]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value
