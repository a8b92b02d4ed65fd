"""Prefixes of images asked about before."""

from __future__ import annotations

from qzoom.serve.budget import BudgetCache
from qzoom.zoom.prefix import PrefixState


class SessionCache(BudgetCache[PrefixState]):
    """States by the digest of all that their rows depend on, and of whose they are.

    A state is taken out while a prompt appends to it: one that fails half way is not put back.
    """
