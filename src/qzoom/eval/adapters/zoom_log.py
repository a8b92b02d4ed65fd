"""A JSON line per request of a harness: where qzoom looked, and what it cost."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from qzoom.data.files import Closing
from qzoom.eval.methods.base import told_of
from qzoom.labels.jsonl import JsonlLog
from qzoom.zoom.answer import ZoomAnswer


class ZoomLog(Closing):
    """Lines go to a file, or nowhere where there is none."""

    def __init__(self, path: str | None) -> None:
        """Open or make the file.

        Raises:
            LabelError: when another run has it open.
        """
        self._log = None if path is None else JsonlLog(Path(path))

    def add(self, answer: ZoomAnswer, batch: int, **named: Any) -> None:
        """Add a line: gate, boxes, tokens, seconds (of the whole batch), and what is named."""
        if self._log is None:
            return
        told = asdict(told_of(answer))
        self._log.append(
            {**named, "zoomed": answer.zoomed, "image": answer.image_index, "batch": batch, **told}
        )

    def close(self) -> None:
        """Sync and close; once is enough."""
        if self._log is not None:
            self._log.close()
