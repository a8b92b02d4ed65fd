"""Golden folders: the few committed beside these tests, and all of ../shared/goldens."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.parity.goldens import COMMITTED, FAMILIES, KNOWN

import qzoom


@pytest.fixture(
    scope="session",
    params=[*(f"data/{family}-large" for family in FAMILIES), *KNOWN],
)
def golden_folder(request: pytest.FixtureRequest) -> Path:
    """Each golden folder in turn; those of ../shared/goldens are skipped where it is absent."""
    if request.param.startswith("data/"):
        return COMMITTED / request.param.removeprefix("data/")
    shared: Path = request.getfixturevalue("shared_goldens")
    return shared / request.param


@pytest.fixture(scope="session", params=["eager", "sdpa"])
def attn(request: pytest.FixtureRequest) -> str:
    """Attention kernel."""
    return str(request.param)


@pytest.fixture(scope="session")
def golden_model(golden_folder: Path, attn: str) -> qzoom.ZoomModel:
    """The folder's checkpoint in float32."""
    return qzoom.load(golden_folder / "checkpoint", dtype="float32", attn_implementation=attn)
