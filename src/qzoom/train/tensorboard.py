"""Scalars of a training for TensorBoard, the same as in `metrics.jsonl`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from qzoom.data.files import Closing
from qzoom.errors import ConfigError


class ScalarWriter(Closing):
    """Event files of one stage; a resumed run hides what a killed one wrote after its state."""

    def __init__(self, folder: Path, stage: str, start: int) -> None:
        """Open a new event file.

        Raises:
            ConfigError: When tensorboard is not installed.
        """
        try:
            writer = import_module("torch.utils.tensorboard").SummaryWriter
        except ImportError:
            raise ConfigError(
                "tensorboard: true needs the package: pip install 'qzoom[tensorboard]', or set it "
                "to false"
            ) from None
        self._stage, self._writer = stage, writer(str(folder), purge_step=start + 1)

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write the scalars of a window of steps."""
        for name, value in scalars.items():
            self._writer.add_scalar(f"{self._stage}/{name}", value, step)
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()
