"""Labelling with a labeller that needs no model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch
from PIL import Image

from qzoom.data.images import ImageFolder
from qzoom.data.records import Record, Turn
from qzoom.labels.pipeline import Counts, Plan, label_records
from qzoom.labels.region import RegionSample
from qzoom.labels.store import LabelRow, LabelStore

QUESTIONS = 22
PLAN = Plan(shard_size=4, batch_size=3, most_bad=0.5)


class FakeLabeller:
    """Labels that depend on nothing but the sample; later ones are larger."""

    def __call__(self, samples: Sequence[RegionSample]) -> list[LabelRow]:
        return [_row(sample) for sample in samples]


def records(count: int = QUESTIONS) -> list[Record]:
    """One question each; some texts hold characters that are no plain line ends."""
    return [
        Record(
            f"r{n}", (f"{n % 5}.png",), (Turn(f"what\u2028is {n}\x85?"),), "toy",
            "natural" if n % 3 else "textual", "none", "here",
        )
        for n in range(count)
    ]  # fmt: skip


def make_images(root: Path) -> Path:
    """Pictures 0 to 3; there is no picture 4, and 3 is damaged."""
    root.mkdir()
    for n in range(3):
        Image.new("RGB", (40 + n, 30), (n, 90, 200)).save(root / f"{n}.png")
    (root / "3.png").write_bytes((root / "2.png").read_bytes()[:60])
    return root


def label(folder: Path, images: Path, count: int = QUESTIONS) -> Counts:
    """Label all questions, going on with what is in the folder."""
    store, labeller = LabelStore(folder, {"model": "fake"}), FakeLabeller()
    return label_records(records(count), ImageFolder(images), labeller, store, PLAN)  # type: ignore[arg-type]


def _row(sample: RegionSample) -> LabelRow:
    number = int(sample.id.removeprefix("r"))
    generator = torch.Generator().manual_seed(Random(sample.id).randrange(1 << 30))
    shape = (40 + 10 * number, 5)
    labels = torch.randint(-1, 2, shape, generator=generator, dtype=torch.int8)
    fields: dict[str, Any] = {"id": sample.id, "image": sample.path, "question": sample.question}
    fields |= {"response": "a", "teaches": True}
    return LabelRow(fields, {"labels": labels, "attention": labels.float() / 3})
