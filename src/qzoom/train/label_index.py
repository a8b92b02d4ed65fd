"""Region labels as a training set: which rows teach, grouped into dialogues about one image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from qzoom.errors import CheckpointError
from qzoom.labels.region_settings import RegionLabelSettings, settings_from_json
from qzoom.labels.store import naming_damage, read_settings, read_shard_rows, tensors_of
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
        """Tri-state labels, int64 of shape `(rows, cols)`.

        Raises:
            CheckpointError: When the shard is damaged.
        """
        with naming_damage(self.shard), safe_open(tensors_of(self.shard), "pt") as tensors:
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
            CheckpointError: When the folder holds no row that teaches, or a shard is damaged.
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

    @classmethod
    def merged(cls, folders: Sequence[Path], turns: int = 1) -> LabelIndex:
        """Read several folders' rows as one set.

        Raises:
            CheckpointError: As `open`; when their pictures were not prepared alike.
        """
        first, *others = (cls.open(folder, turns) for folder in folders)
        for folder, other in zip(folders[1:], others, strict=True):
            if (other.settings.layout, other.settings.cells) != (
                first.settings.layout,
                first.settings.cells,
            ):
                raise CheckpointError(
                    f"{folder} has labels of layout {other.settings.layout!r}, "
                    f"{other.settings.cells} cells, {folders[0]} of {first.settings.layout!r}, "
                    f"{first.settings.cells}; label both alike"
                )
        dialogues = chain.from_iterable(index.dialogues for index in (first, *others))
        return cls(first.settings, tuple(dialogues))

    @cached_property
    def turns(self) -> int:
        """Labelled questions in all."""
        return sum(map(len, self.dialogues))

    def batch(self, step: int, size: int, seed: int) -> list[Dialogue]:
        """The dialogues of one step: every one once an epoch, each epoch in its own order."""
        places = epoch_places(step, size, len(self.dialogues), f"region/{seed}")
        return [self.dialogues[place] for _, place in places]


def _teaching_rows(folder: Path) -> Iterator[LabelledTurn]:
    names = ("id", "image", "question", "response")
    for shard in sorted(folder.glob("shard-*.jsonl")):
        with naming_damage(shard):
            for row, fields in enumerate(read_shard_rows(shard)):
                if fields.get("teaches"):
                    found = {name: fields[name] for name in names}
                    yield LabelledTurn(**found, shard=shard, row=row)
