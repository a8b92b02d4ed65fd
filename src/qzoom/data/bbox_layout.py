"""The XHTML that `pdftotext -bbox-layout` writes: pages of lines of words with boxes in points."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Final
from xml.parsers import expat

from qzoom.data.fields import shown
from qzoom.data.records import PixelBox
from qzoom.data.text_layout import Printed
from qzoom.errors import DataError

POINTS_PER_INCH: Final = 72

# Poppler passes control characters on, which no XML may hold.
_NO_CONTROLS: Final = bytes(range(9)) + b"\x0b\x0c" + bytes(range(14, 32))
# Print that a question names and an answer holds as a keyboard types it.
_PLAIN: Final = {
    0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st",
    0xFB06: "st", 0x2019: "'",
}  # fmt: skip


@dataclass
class PageText:
    """Width and height of a page in pixels, and the words of its lines in reading order."""

    size_px: tuple[float, float]
    lines: list[list[Printed]] = field(default_factory=list)


def read_bbox_layout(xml: bytes, dpi: int, where: str) -> list[PageText]:
    """The pages, measured in pixels of a rendering.

    Args:
        dpi: pixels per inch of the rendering.
        where: names the document in errors.

    Raises:
        DataError: when it is not such XHTML, or declares entities.
    """
    reader = _Reader(dpi / POINTS_PER_INCH, where)
    parser = expat.ParserCreate(encoding="UTF-8")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.EntityDeclHandler = reader.entity
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(xml.translate(None, _NO_CONTROLS), True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise DataError(f"{where}: the text layout is not XML: {reason}") from None
    return reader.pages


class _Reader:
    """Handlers of the parser."""

    def __init__(self, px_per_pt: float, where: str) -> None:
        self.pages: list[PageText] = []
        self._px_per_pt = px_per_pt
        self._where = where
        self._word: list[str] | None = None
        self._box_px_xyxy: PixelBox = (0.0, 0.0, 0.0, 0.0)

    def doctype(self, name: str, system: str | None, public: str | None, subset: bool) -> None:
        if subset:
            raise DataError(f"{self._where}: the text layout declares a document type of its own")

    def entity(self, name: str, *_: Any) -> None:
        raise DataError(f"{self._where}: the text layout declares the entity {shown(name)}")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "page":
            self.pages.append(PageText(self._numbers(attributes, "width", "height")))
        elif tag == "line":
            self._page().lines.append([])
        elif tag == "word":
            left, top = self._numbers(attributes, "xMin", "yMin")
            right, bottom = self._numbers(attributes, "xMax", "yMax")
            self._box_px_xyxy = (left, top, right, bottom)
            self._word = []

    def text(self, text: str) -> None:
        if self._word is not None:
            self._word.append(text)

    def end(self, tag: str) -> None:
        if tag != "word" or self._word is None:
            return
        text = "".join("".join(self._word).translate(_PLAIN).split())
        self._word = None
        left, top, right, bottom = self._box_px_xyxy
        lines = self._page().lines
        if not lines:
            raise DataError(f"{self._where}: the text layout has a word outside of any line")
        if text and left < right and top < bottom:
            lines[-1].append(Printed(text, self._box_px_xyxy))

    def _page(self) -> PageText:
        if not self.pages:
            raise DataError(f"{self._where}: the text layout has text outside of any page")
        return self.pages[-1]

    def _numbers(self, attributes: dict[str, str], one: str, other: str) -> tuple[float, float]:
        return self._px(attributes, one), self._px(attributes, other)

    def _px(self, attributes: dict[str, str], name: str) -> float:
        text = attributes.get(name)
        try:
            points = float(text or "")
        except ValueError:
            points = math.nan
        if not math.isfinite(points):
            raise DataError(f"{self._where}: {name} must be a finite number, got {shown(text)}")
        return points * self._px_per_pt
