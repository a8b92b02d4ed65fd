"""Pages of real documents: their pictures, and the boxed questions that records ask of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Final

from PIL import Image, ImageFilter

from qzoom.data.images import ImageFolder
from qzoom.data.jsonl import read_records
from qzoom.data.records import Record, Turn
from qzoom.errors import ConfigError
from qzoom.synth.canvas import Question
from qzoom.synth.drawing import PixelBox

LONGEST_ANSWER: Final = 40
"""Characters; the answers of a batch are padded to its longest."""

_NAMED: Final = re.compile(r'"[^"]*"')
_PAPER: Final = (255, 255, 255)


@dataclass(frozen=True)
class PageSource:
    """Records of real documents and the root of their pictures, as a recipe names them.

    weight: how often a page of these is drawn, against the pages of other sources.
    answers: regular expression that an answer must match whole to be learnt.
    """

    records: str
    images: str
    weight: float = 1.0
    answers: str = ".*"


@dataclass(frozen=True)
class Page:
    """One document, its picture not yet opened.

    questions: each with the ink box of its answer in pixels of the picture.
    """

    folder: ImageFolder
    image: str
    questions: tuple[Question, ...]

    def open(self) -> Image.Image:
        """Decode the picture.

        Raises:
            DataError: as `ImageFolder.open`.
            ImageError: likewise.
        """
        return self.folder.open(self.image)

    @cached_property
    def size_px(self) -> tuple[int, int]:
        """Width and height; the first to ask opens the picture."""
        return self.open().size


class Pages:
    """Training pages of some sources; records are in memory, pictures never."""

    def __init__(self, sources: Sequence[PageSource]) -> None:
        """Read the records.

        Raises:
            DataError: at a bad record.
            ConfigError: when there is no source, or one has no page to learn from, a weight that
                is not above 0, or answers that are no regular expression.
        """
        if not sources:
            raise ConfigError("no sources of documents are named; list records and images of some")
        self._pages: list[list[Page]] = []
        self._weights = [source.weight for source in sources]
        for source in sources:
            folder = ImageFolder(Path(source.images))
            records = read_records(Path(source.records))
            wanted = _pattern(source)
            pages = [
                page for record in records if (page := _page(folder, record, wanted)) is not None
            ]
            if not pages:
                raise ConfigError(f"{source.records} has no training record with a boxed answer")
            self._pages.append(pages)

    def __len__(self) -> int:
        return sum(map(len, self._pages))

    def draw(self, rng: Random) -> Page:
        """A page, its source drawn by weight."""
        return rng.choice(rng.choices(self._pages, self._weights)[0])


def kind_of(question: str) -> str:
    """What a question is about, without the print that it names."""
    return _NAMED.sub('""', question)


def choose_evenly(rng: Random, questions: Sequence[Question], count: int) -> list[Question]:
    """Questions drawn half by kind, so that rare kinds are asked too, half as they come."""
    by_kind: dict[str, list[Question]] = {}
    for question in questions:
        by_kind.setdefault(question.kind, []).append(question)
    kinds = sorted(by_kind)
    return [
        rng.choice(by_kind[rng.choice(kinds)] if index % 2 else questions) for index in range(count)
    ]


def cut(image: Image.Image, region_px_xyxy: PixelBox, size_px: tuple[int, int]) -> Image.Image:
    """A region of a page resized to (width, height); what lies off the page is white."""
    x1, y1, x2, y2 = (round(value) for value in region_px_xyxy)
    across, down = (
        [min(max(0, v), side) for v in ends]
        for ends, side in (((x1, x2), image.width), ((y1, y2), image.height))
    )
    part = image.crop((across[0], down[0], across[1], down[1]))
    if part.size != (x2 - x1, y2 - y1):
        sheet = Image.new("RGB", (x2 - x1, y2 - y1), _PAPER)
        sheet.paste(part, (across[0] - x1, down[0] - y1))
        part = sheet
    return part.resize(size_px, Image.Resampling.BICUBIC)


def worn(rng: Random, image: Image.Image) -> Image.Image:
    """The picture a little paler, darker, or out of focus, as scans are."""
    low, high = rng.uniform(0, 70), rng.uniform(185, 255)
    gain = (high - low) / 255
    image = image.point([round(low + gain * value) for value in range(256)] * 3)
    if rng.random() < 0.25:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.8)))
    return image


def _pattern(source: PageSource) -> re.Pattern[str]:
    if source.weight <= 0:
        raise ConfigError(f"the weight of {source.records} is {source.weight:g}; give one above 0")
    try:
        return re.compile(source.answers, re.DOTALL)
    except re.error as error:
        raise ConfigError(
            f"answers of {source.records}, {source.answers!r}, is no regular expression: {error}"
        ) from None


def _page(folder: ImageFolder, record: Record, wanted: re.Pattern[str]) -> Page | None:
    if record.split not in (None, "train"):
        return None
    found = tuple(
        _question(turn)
        for turn in record.turns
        if turn.boxes_px_xyxy
        and turn.answers
        and len(turn.answers[0]) <= LONGEST_ANSWER
        and wanted.fullmatch(turn.answers[0])
    )
    return Page(folder, record.images[0], found) if found else None


def _question(turn: Turn) -> Question:
    boxes = turn.boxes_px_xyxy
    around = (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )
    return Question(turn.question, turn.answers[0].lower(), kind_of(turn.question), around)
