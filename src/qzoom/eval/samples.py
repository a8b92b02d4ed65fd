"""One question of a benchmark, the same for all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from PIL import Image

from qzoom.errors import ConfigError, DataError
from qzoom.geometry.boxes import BoxLike
from qzoom.images.decode import ImageSource

Scoring = Literal["lmms-eval", "vlmevalkit", "strict"]
"""Whose prompts and metrics: those of a harness, its traps included, or what one would expect."""


@dataclass(frozen=True)
class Sample:
    """A question with everything that its prompt and its metric need.

    id: unique in its benchmark.
    image_key: names the picture; questions of one picture share it, and their errors are related.
    images: encoded bytes, paths or decoded pictures; none where a row was read back.
    question: as the data has it, without a harness's instructions.
    answers: accepted ones; for multiple choice the letter.
    options: text by letter, for multiple choice.
    extra: other JSON values that prompts or metrics need.
    boxes_px_xyxy: where the answer is on the first picture, when that is known.
    """

    id: str
    image_key: str
    images: tuple[ImageSource, ...]
    question: str
    answers: tuple[str, ...]
    category: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    boxes_px_xyxy: tuple[BoxLike, ...] = ()

    def gold(self) -> dict[str, Any]:
        """What a metric needs, as JSON; empty fields are left out."""
        found: dict[str, Any] = {"question": self.question, "answers": list(self.answers)}
        named: dict[str, Any] = {
            "category": self.category,
            "options": dict(self.options),
            "extra": dict(self.extra),
            "boxes_px_xyxy": [list(box) for box in self.boxes_px_xyxy],
        }
        return found | {name: value for name, value in named.items() if value}

    @classmethod
    def from_gold(cls, id: str, image_key: str, gold: Mapping[str, Any]) -> Sample:
        """A sample without pictures from what `gold` gave.

        Raises:
            DataError: when a field is missing.
        """
        try:
            return cls(
                id,
                image_key,
                (),
                gold["question"],
                tuple(gold["answers"]),
                gold.get("category", ""),
                gold.get("options", {}),
                gold.get("extra", {}),
                tuple(tuple(box) for box in gold.get("boxes_px_xyxy", ())),
            )
        except (KeyError, TypeError) as error:
            raise DataError(f"row {id}: its gold answer cannot be read: {error}") from None


def image_sha256(source: ImageSource) -> str:
    """Hash of a picture: of its file, or of its pixels where it came decoded."""
    if isinstance(source, (str, Path)):
        with open(source, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    if isinstance(source, Image.Image):
        header = f"{source.mode} {source.size} ".encode()
        return hashlib.sha256(header + source.tobytes()).hexdigest()
    if isinstance(source, (bytes, bytearray, memoryview)):
        return hashlib.sha256(source).hexdigest()
    raise DataError(f"a benchmark's picture is a {type(source).__name__}; give bytes or a path")


def check_scoring(scoring: str) -> Scoring:
    """The scoring of that name.

    Raises:
        ConfigError: when there is none.
    """
    for known in get_args(Scoring):
        if scoring == known:
            return scoring  # type: ignore[return-value]
    raise ConfigError(f"scoring is {scoring!r}; known: {', '.join(get_args(Scoring))}")
