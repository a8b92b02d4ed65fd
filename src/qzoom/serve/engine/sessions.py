"""Prefixes of images asked about before, kept under a budget of memory."""

from __future__ import annotations

from collections import OrderedDict

from qzoom.zoom.prefix import PrefixState


class SessionCache:
    """States by key; the one unused for longest goes first. The engine's thread alone changes it.

    A state is taken out while a prompt appends to it: one that fails half way is not put back.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._states: OrderedDict[str, tuple[PrefixState, int]] = OrderedDict()
        self.used_bytes = 0

    def __len__(self) -> int:
        return len(self._states)

    def __contains__(self, key: str | None) -> bool:
        return key in self._states

    def take(self, key: str | None) -> PrefixState | None:
        """Take a state out."""
        if key is None or key not in self._states:
            return None
        state, size = self._states.pop(key)
        self.used_bytes -= size
        return state

    def put(self, key: str, state: PrefixState) -> None:
        """Keep a state, and drop others until all fit; one that never could is dropped itself."""
        size = state.size_bytes
        if size > self._budget_bytes:
            return
        while self._states and self.used_bytes + size > self._budget_bytes:
            _, (_, freed) = self._states.popitem(last=False)
            self.used_bytes -= freed
        self._states[key] = (state, size)
        self.used_bytes += size

    def clear(self) -> None:
        """Forget everything."""
        self._states.clear()
        self.used_bytes = 0
