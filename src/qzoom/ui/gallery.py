"""The example pictures with the questions that are suggested for each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import qzoom
from qzoom.errors import DataError

SUGGESTIONS: Final = 3
"""Questions suggested for a picture, at most."""


@dataclass(frozen=True)
class Example:
    """A picture file and questions that suit it."""

    image: Path
    questions: tuple[str, ...]


def find_examples() -> list[Example]:
    """Those of an installed package, or of the checkout it runs from; empty where none is."""
    package = Path(qzoom.__file__).resolve().parent
    places = (package / "assets" / "examples", package.parent.parent / "examples")
    folder = next((place for place in places if (place / "questions.json").is_file()), None)
    return [] if folder is None else read_examples(folder)


def read_examples(folder: Path) -> list[Example]:
    """The pictures that a folder's questions.json names, in its order.

    Raises:
        DataError: when that file is damaged or names a picture outside the folder.
    """
    listed: dict[str, list[str]] = {}
    try:
        for entry in json.loads((folder / "questions.json").read_text(encoding="utf-8")):
            listed.setdefault(entry["image"], []).append(entry["question"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder / 'questions.json'} is damaged: {error}") from error
    outside = [name for name in listed if Path(name).name != name]
    if outside:
        raise DataError(f"{folder / 'questions.json'} names {outside[0]!r}; give bare file names")
    return [
        Example(folder / name, tuple(questions[:SUGGESTIONS]))
        for name, questions in listed.items()
        if (folder / name).is_file()
    ]
