"""Rows of `gate.jsonl` as the looks of a training: balanced, and drawn anew each epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qzoom.errors import LabelError
from qzoom.labels.gate_rows import GateRow, read_gate_rows
from qzoom.labels.gate_samples import GateDraw, kept_ids
from qzoom.train.epochs import epoch_places
from qzoom.train.gate_stage import GateLook


@dataclass(frozen=True)
class GateLooks:
    """The looks of each step: every kept row once an epoch, at that epoch's budget."""

    rows: tuple[GateRow, ...]
    batch_size: int
    draw: GateDraw

    @classmethod
    def open(cls, files: Sequence[Path], batch_size: int, draw: GateDraw) -> GateLooks:
        """Read files and balance easy and hard questions within each.

        Raises:
            DataError: For a file that cannot be read, or a bad row.
            LabelError: When no row is left.
        """
        found = [list(read_gate_rows(path)) for path in files]
        rows = tuple(row for file in found for row in _balanced(file, draw))
        if not rows:
            named, all_rows = " ".join(map(str, files)), sum(map(len, found))
            raise LabelError(
                f"{named}: none of {all_rows} rows is kept; with no hard question, "
                f"easy_per_hard={draw.easy_per_hard:g} keeps no easy one"
            )
        return cls(rows, batch_size, draw)

    def __call__(self, step: int) -> list[GateLook]:
        """The looks of a step."""
        salt = f"gate/{self.draw.seed}"
        places = epoch_places(step, self.batch_size, len(self.rows), salt)
        return [self._look(self.rows[place], epoch) for epoch, place in places]

    def _look(self, row: GateRow, epoch: int) -> GateLook:
        budget, label = row.look(epoch, self.draw)
        return GateLook(row.image, row.question, label, budget, row.id)


def _balanced(rows: Sequence[GateRow], draw: GateDraw) -> list[GateRow]:
    known = [(row.id, row.outcome) for row in rows if row.outcome is not None]
    kept = kept_ids(known, draw)
    return [row for row in rows if row.outcome is None or row.id in kept]
