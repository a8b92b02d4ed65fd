"""The layout that pdftotext writes: boxes in pixels, and nothing that an XML file could do."""

from __future__ import annotations

from pathlib import Path

import pytest

from qzoom.data.bbox_layout import read_bbox_layout
from qzoom.data.text_layout import Printed
from qzoom.errors import DataError

SAMPLE = Path(__file__).parents[1] / "data" / "bbox-layout.html"
WORD = '<word xMin="1" yMin="1" xMax="2" yMax="2">x</word>'


def page(inside: str, size: str = 'width="9" height="9"') -> bytes:
    return f"<html><body><doc><page {size}>{inside}</page></doc></body></html>".encode()


def test_words_in_pixels() -> None:
    first, second = read_bbox_layout(SAMPLE.read_bytes(), 144, "sample")
    assert first.size_px == (288.0, 144.0)
    # Ligatures and typographic apostrophes are plain, empty boxes are left out.
    assert first.lines == [
        [Printed("fine", (20, 20, 60, 40)), Printed("R&D", (66, 20, 121, 40))],
        [Printed("it's", (20, 48, 80, 68)), Printed("ab", (100, 48, 180, 68))],
    ]
    assert (second.size_px, second.lines) == ((144.0, 144.0), [])


def test_control_characters_do_not_stop_the_reading() -> None:
    xml = page(f"<line>{WORD}</line>").replace(b">x<", b">a\x01\x0cb<")
    assert read_bbox_layout(xml, 72, "f")[0].lines[0][0].text == "ab"


BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'
    '<doc><page width="9" height="9"><line>&b;</line></page></doc>'
)
READS_A_FILE = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><doc>&e;</doc>'


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (BOMB.encode(), "declares a document type of its own"),
        (READS_A_FILE.encode(), "declares a document type of its own"),
        (b"<doc><page", "is not XML: "),
        (b"", "is not XML: no element found"),
        (page(f"<line>{WORD}</line>").replace(b"</doc>", b""), "is not XML: mismatched tag"),
        (b"<doc><line></line></doc>", "text outside of any page"),
        (page(WORD), "a word outside of any line"),
        (page("", 'width="9"'), "height must be a finite number, got None"),
        (page("", 'width="nan" height="9"'), "width must be a finite number, got 'nan'"),
        (page(f"<line>{WORD}</line>".replace('xMax="2"', 'xMax="1e999"')), "xMax must be a finite"),
        (page(f"<line>{WORD}</line>".replace('xMax="2"', 'xMax="wide"')), "xMax must be a finite"),
        (b"<doc>\xff</doc>", "is not XML: not well-formed"),
    ],
)
def test_hostile_and_damaged_layouts(xml: bytes, message: str) -> None:
    with pytest.raises(DataError, match=r"^f: ") as caught:
        read_bbox_layout(xml, 72, "f")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
