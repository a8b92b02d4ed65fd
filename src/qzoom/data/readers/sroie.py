"""Scanned receipts of SROIE: receipts.jsonl, one JSON object a line.

Each row has id, image, fields (company, date, address and total, any of which may be missing) and
lines, each with its text and box_xyxy_px.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final

from qzoom.data import fields
from qzoom.data.readers.options import ReadOptions, Row, each_row
from qzoom.data.readers.rows import line_rows, name_of
from qzoom.data.readers.sroie_fields import amount_of, date_line, lines_of_text, total_line
from qzoom.data.reading_questions import below, first_and_last, next_to
from qzoom.data.records import Record, Turn, box_of
from qzoom.data.splits import split_of
from qzoom.data.text_layout import Printed
from qzoom.errors import DataError

_LICENCE: Final = "MIT"
_SOURCE: Final = "https://github.com/zzzDavid/ICDAR-2019-SROIE"

_LEGAL_FORM: Final = re.compile(r"\([^)]*\)?|\b(?:SDN|BHD|S/B)\b", re.IGNORECASE)
# Transcriptions of one company's name differ towards the end.
_GROUP_CHARS: Final = 12


def read(inputs: Sequence[Path], options: ReadOptions) -> Iterator[Record | DataError]:
    """A record for each receipt: its fields, and lines to read."""
    return each_row(line_rows(inputs), partial(_record, options=options))


def company_group(company: str) -> str:
    """What receipts of one company share: the first letters of its name without its legal form."""
    name = _LEGAL_FORM.sub("", company).casefold()
    return "".join(char for char in name if char.isalnum())[:_GROUP_CHARS]


def _record(place: Row, options: ReadOptions) -> Record | None:
    row = fields.mapping(place.value, "the row")
    name = name_of(fields.required(row, "id"), "id")
    image = options.path(fields.text(fields.required(row, "image"), "image"))
    if not options.wanted(image):
        return None
    said = fields.mapping(fields.required(row, "fields"), "fields")
    lines = [
        _line(line, f"lines[{index}]")
        for index, line in enumerate(fields.items(fields.required(row, "lines"), "lines"))
    ]
    turns = (*_field_turns(said, lines), *_reading_turns(lines))
    if not turns:
        raise DataError("the receipt has no field and no line to ask about")
    company = said.get("company") or name
    return Record(
        id=f"sroie-{name}",
        images=(image,),
        turns=turns,
        dataset=options.dataset or "sroie",
        mode=options.mode or "textual",
        licence=options.licence or _LICENCE,
        source=_SOURCE,
        split=options.split or split_of(company_group(fields.text(company, "fields.company"))),
    )


def _line(value: object, name: str) -> Printed:
    line = fields.mapping(value, name)
    text = fields.text(fields.required(line, "text"), f"{name}.text")
    box = box_of(fields.required(line, "box_xyxy_px"), f"{name}.box_xyxy_px")
    return Printed(" ".join(text.split()), box)


def _field_turns(said: dict[str, Any], lines: Sequence[Printed]) -> Iterator[Turn]:
    texts = {name: fields.text(value, f"fields.{name}") for name, value in said.items() if value}
    if "total" in texts:
        yield _total_turn(texts["total"], lines)
    if "date" in texts:
        found = date_line(lines, texts["date"])
        yield _turn("what is the date?", (texts["date"],), () if found is None else (found,))
    if "company" in texts:
        named = lines_of_text(lines, texts["company"])
        yield _turn("what is the name of the company?", (texts["company"],), named)
    address = lines_of_text(lines, texts.get("address", ""))
    if len(address) > 1:
        for which, line in (("first", address[0]), ("last", address[-1])):
            question = f"what is the {which} line of the address?"
            yield _turn(question, (line.text.rstrip(",. "),), (line,))


def _total_turn(text: str, lines: Sequence[Printed]) -> Turn:
    """The bare amount comes first: it is the same for "8.60" and "RM 8.60"."""
    amount = amount_of(text)
    found = None if amount is None else total_line(lines, amount)
    answers = (text,) if amount is None else (amount, text)
    return _turn("what is the total?", answers, () if found is None else (found,))


def _reading_turns(lines: Sequence[Printed]) -> Iterator[Turn]:
    if lines:
        for reading in chain(first_and_last(lines), next_to(lines), below(lines)):
            yield reading.turn


def _turn(question: str, answers: tuple[str, ...], places: Sequence[Printed]) -> Turn:
    boxes = tuple(place.box_px_xyxy for place in places)
    return Turn(question, tuple(dict.fromkeys(answers)), boxes)
