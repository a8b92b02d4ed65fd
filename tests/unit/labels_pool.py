"""A pool of questions and something that answers them without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qzoom.errors import ImageError
from qzoom.images.decode import ImageSource
from qzoom.labels.answer_rows import AnswerRow
from qzoom.labels.answers import PoolRecord
from qzoom.labels.jsonl import encode_row


@dataclass(frozen=True)
class Record:
    """A question with its answers; satisfies what every stage asks of a record."""

    id: str
    images: tuple[ImageSource, ...] = ("picture.png",)
    question: str = "what?"
    ground_truths: tuple[str, ...] = ("owl",)

    @property
    def image(self) -> str:
        return str(self.images[0])


def pool(count: int) -> list[Record]:
    return [Record(f"q{i}", (f"{i}.png",), f"what is {i}?") for i in range(count)]


def row(name: str, text: str = "owl", **fields: Any) -> AnswerRow:
    """A row as an answerer would give it."""
    kept: dict[str, Any] = {
        "question": "what?",
        "image": f"{name}.png",
        "cells": 64,
        "zoomed": False,
        "gate_probability": None,
        "box_px_xyxy": None,
        "model": "fake",
    }
    return AnswerRow(id=name, text=text, **kept | fields)


def write_rows(path: Path, rows: Sequence[AnswerRow]) -> Path:
    path.write_bytes(b"".join(encode_row(each.to_json()) for each in rows))
    return path


@dataclass
class FakeAnswerer:
    """Answers with the question; images named "bad.png" fail; stops dead after `batches`."""

    settings: Mapping[str, Any] = field(default_factory=lambda: {"model": "fake", "cells": 64})
    batches: int | None = None
    sizes: list[int] = field(default_factory=list)

    def __call__(self, batch: Sequence[PoolRecord]) -> list[AnswerRow]:
        if self.batches is not None and len(self.sizes) >= self.batches:
            raise KeyboardInterrupt
        for record in batch:
            if record.images[0] == "bad.png":
                raise ImageError("bad.png is not an image")
        self.sizes.append(len(batch))
        return [row(record.id, f"{record.question}!", zoomed=True) for record in batch]
