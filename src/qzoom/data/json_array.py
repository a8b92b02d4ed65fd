"""The items of a large JSON array, one at a time, in the memory of one item."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TextIO

from qzoom.errors import DataError

MAX_ITEM_CHARS: Final = 16 * 1024 * 1024
_CHUNK_CHARS: Final = 1024 * 1024
_SPACE: Final = " \t\r\n"


def scan_array(path: Path, key: str | None = None) -> Iterator[tuple[int, Any]]:
    """Indices (from 0) and items of the array a file holds.

    Args:
        key: the array is the value of this key of a JSON object; None when it is the whole file.

    Raises:
        DataError: when the file is missing, or where its JSON is damaged or cut short; the items
            before that place have been given by then.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            window = _Window(file)
            if key is not None:
                _enter(window, key)
            yield from _items(window)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8; convert the file") from None


class _Window:
    """A sliding piece of a text file."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._at = 0
        self._passed = 0
        self._decode = json.JSONDecoder().raw_decode

    def error(self, reason: str) -> DataError:
        """An error at this place."""
        return DataError(f"{reason} at character {self._passed + self._at}")

    def next_char(self) -> str:
        """The next character that is not space, not consumed; empty at the end of the file."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._grow():
                return ""

    def expect(self, chars: str) -> str:
        """Consume one of some characters and return it."""
        found = self.next_char()
        if not found or found not in chars:
            got = repr(found) if found else "the end of the file, which may be cut short"
            raise self.error(f"expected {' or '.join(map(repr, chars))}, got {got}")
        self._at += 1
        return found

    def value(self) -> Any:
        """Consume one JSON value."""
        self.next_char()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except json.JSONDecodeError as error:
                # What looks damaged may only be cut by the edge of the window.
                if not self._grow():
                    raise self.error(f"damaged or cut short JSON ({error.msg})") from None
                continue
            except (RecursionError, ValueError):
                raise self.error("a value is nested too deep or has too long a number") from None
            # A number near the edge may go on behind it: "3" of "3.5", of "3e+8".
            if end >= len(self._text) - 2 and self._grow():
                continue
            self._at = end
            return value

    def _grow(self) -> bool:
        if len(self._text) - self._at > MAX_ITEM_CHARS:
            raise self.error(f"damaged JSON, or one value longer than {MAX_ITEM_CHARS} characters")
        chunk = self._file.read(_CHUNK_CHARS)
        if not chunk:
            return False
        self._passed += self._at
        self._text = self._text[self._at :] + chunk
        self._at = 0
        return True


def _enter(window: _Window, key: str) -> None:
    """Go to the value of a key of the object that the file holds."""
    window.expect("{")
    while True:
        name = window.value()
        window.expect(":")
        if name == key:
            return
        window.value()
        if window.expect(",}") == "}":
            raise window.error(f"no key {key!r}")


def _items(window: _Window) -> Iterator[tuple[int, Any]]:
    window.expect("[")
    if window.next_char() == "]":
        return
    index = 0
    while True:
        yield index, window.value()
        index += 1
        if window.expect(",]") == "]":
            return
