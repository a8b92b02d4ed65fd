"""Text on a picture in Pillow's own font: sizes, wrapping and characters that it has."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from PIL import ImageFont
from PIL.ImageFont import FreeTypeFont

_ELLIPSIS = "..."
_PLAIN = str.maketrans(
    {"\u00d7": "x", "\u2013": "-", "\u2014": "-", "\u00df": "ss", "\t": " "}
    | dict.fromkeys("\u201c\u201d\u201e", '"')
)


@lru_cache(maxsize=8)
def font(size_px: int) -> FreeTypeFont:
    """Pillow's built-in font."""
    loaded = ImageFont.load_default(size_px)
    if not isinstance(loaded, FreeTypeFont):
        raise OSError("this Pillow was built without FreeType; install a wheel from PyPI")
    return loaded


def drawable(text: str) -> str:
    """Text with accents and typographic signs replaced, which the built-in font lacks."""
    plain = unicodedata.normalize("NFKD", text.translate(_PLAIN))
    kept = (c for c in plain if not unicodedata.combining(c))
    return "".join(c for c in kept if c == "\n" or unicodedata.category(c)[0] != "C")


def wrap(text: str, face: FreeTypeFont, width_px: float, max_lines: int) -> list[str]:
    """Break text into lines that fit a width; what exceeds `max_lines` ends in an ellipsis."""
    lines: list[str] = []
    paragraphs = [part for part in drawable(text).split("\n") if part.strip()]
    for paragraph in paragraphs or [""]:
        lines.extend(_wrap_paragraph(paragraph, face, width_px, max_lines + 1 - len(lines)))
        if len(lines) > max_lines:
            break
    if len(lines) <= max_lines:
        return lines
    last = lines[max_lines - 1]
    while last and face.getlength(last + _ELLIPSIS) > width_px:
        last = last[:-1]
    return [*lines[: max_lines - 1], last.rstrip() + _ELLIPSIS]


def _wrap_paragraph(text: str, face: FreeTypeFont, width_px: float, limit: int) -> list[str]:
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if face.getlength(joined) <= width_px:
            lines[-1] = joined
            continue
        pieces = _split_word(word, face, width_px, limit)
        lines = lines + pieces if lines[-1] else pieces
        if len(lines) >= limit:
            return lines[:limit]
    return lines


def _split_word(word: str, face: FreeTypeFont, width_px: float, limit: int) -> list[str]:
    """A word in pieces that fit; only a word wider than a line has more than one."""
    pieces = [""]
    for char in word:
        if pieces[-1] and face.getlength(pieces[-1] + char) > width_px:
            if len(pieces) == limit:
                break
            pieces.append("")
        pieces[-1] += char
    return pieces
