"""Region labels as a training set: which rows teach, grouped into dialogues about one image."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

from qzoom.errors import CheckpointError
from qzoom.labels.region_settings import RegionLabelSettings, settings_from_json
from qzoom.labels.store import read_settings
from qzoom.train.epochs import epoch_places


@dataclass(frozen=True)
class LabelledTurn:
    """A question, what the model answered, and where its labels are."""

    id: str
    image: str
    question: str
    response: str
    shard: Path
    row: int

    def labels_hw(self) -> Tensor:
        """Tri-state labels, int64 of shape `(rows, cols)`."""
        with safe_open(self.shard.with_suffix(".safetensors"), "pt") as tensors:
            labels: Tensor = tensors.get_tensor(f"{self.row}.labels")
        return labels.long()


Dialogue = tuple[LabelledTurn, ...]
"""Turns about one image, trained in one pass (eq. 13, 14)."""


@dataclass(frozen=True)
class LabelIndex:
    """What a folder of labels teaches; tensors stay on disk."""

    settings: RegionLabelSettings
    dialogues: tuple[Dialogue, ...]

    @classmethod
    def open(cls, folder: Path, turns: int = 1) -> LabelIndex:
        """Read a folder's rows.

        Args:
            turns: most turns of one image in a dialogue.

        Raises:
            CheckpointError: When the folder holds no row that teaches.
        """
        if turns < 1:
            raise CheckpointError(f"a dialogue needs at least 1 turn, got {turns}")
        by_image: dict[str, list[LabelledTurn]] = {}
        for turn in _teaching_rows(folder):
            by_image.setdefault(turn.image, []).append(turn)
        dialogues = tuple(
            tuple(found[first : first + turns])
            for found in by_image.values()
            for first in range(0, len(found), turns)
        )
        if not dialogues:
            raise CheckpointError(f"{folder} holds no label that teaches; see its shards' rows")
        return cls(settings_from_json(read_settings(folder)), dialogues)

    @cached_property
    def turns(self) -> int:
        """Labelled questions in all."""
        return sum(map(len, self.dialogues))

    def batch(self, step: int, size: int, seed: int) -> list[Dialogue]:
        """The dialogues of one step: every one once an epoch, each epoch in its own order."""
        places = epoch_places(step, size, len(self.dialogues), f"region/{seed}")
        return [self.dialogues[place] for _, place in places]


def _teaching_rows(folder: Path) -> Iterator[LabelledTurn]:
    for shard in sorted(folder.glob("shard-*.jsonl")):
        for row, line in enumerate(shard.read_text(encoding="utf-8").splitlines()):
            fields: dict[str, Any] = json.loads(line)
            if fields.get("teaches"):
                yield LabelledTurn(
                    fields["id"],
                    fields["image"],
                    fields["question"],
                    fields["response"],
                    shard,
                    row,
                )
