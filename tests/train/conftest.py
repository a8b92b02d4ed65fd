"""Fixtures of the training tests."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Small sums gain nothing from threads, and forked workers must not inherit them."""
    torch.set_num_threads(1)
