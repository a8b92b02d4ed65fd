"""Long streams cut into batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

from qzoom.errors import ConfigError

T = TypeVar("T")


def in_batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items in order; the last may be shorter. Takes no more than it gives.

    Raises:
        ConfigError: At once, if `size` is below 1.
    """
    if size < 1:
        raise ConfigError(f"the batch size is {size}; it must be at least 1")
    return _batches(iter(items), size)


def _batches(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while batch := list(islice(items, size)):
        yield batch
