"""Fixtures of the fault tests."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Forked children must not inherit threads."""
    torch.set_num_threads(1)
