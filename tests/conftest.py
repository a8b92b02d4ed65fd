"""What all tests share: the stored outputs of the reference, and repeatable random examples."""

from pathlib import Path

import pytest
import torch
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def shared_goldens() -> Path:
    """Folder with the stored outputs of the reference implementation."""
    folder = ROOT.parent / "shared" / "goldens"
    if not folder.is_dir():
        pytest.skip("no ../shared/goldens beside the repository; reference outputs not compared")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
