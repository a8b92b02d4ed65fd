"""Things kept by key under a budget of memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """What knows how much memory it takes."""

    @property
    def size_bytes(self) -> int:
        """Memory in use."""
        ...


T = TypeVar("T", bound=Sized)


class BudgetCache(Generic[T]):
    """The one unused for longest goes first. Threads may share it.

    used_bytes: of all that is kept, as it was when it was put in.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[T, int]] = OrderedDict()
        self.used_bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: object) -> bool:
        return key in self._kept

    def get(self, key: str) -> T | None:
        """Look something up."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def take(self, key: str | None) -> T | None:
        """Take something out, to change it or to keep it from others."""
        with self._lock:
            return None if key is None else self._drop(key)

    def put(self, key: str, value: T) -> None:
        """Keep something, and drop others until all fit; what never could fit is not kept."""
        size = value.size_bytes
        with self._lock:
            self._drop(key)
            if size > self._budget_bytes:
                return
            while self.used_bytes + size > self._budget_bytes:
                self._drop(next(iter(self._kept)))
            self._kept[key] = value, size
            self.used_bytes += size

    def _drop(self, key: str) -> T | None:
        value, size = self._kept.pop(key, (None, 0))
        self.used_bytes -= size
        return value
