"""Manners towards terminals: who is watching, dim text, and no foreign control codes."""

from __future__ import annotations

import os
import re
from typing import TextIO

_DIM = "\x1b[2m"
_RESET = "\x1b[0m"
# An image may talk a model into escape codes; only newline and tab may reach a terminal.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def is_terminal(stream: TextIO) -> bool:
    """Whether a person watches this stream."""
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def dim(text: str) -> str:
    """Text in a terminal's faint style, or as it is where colours are unwelcome."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"{_DIM}{text}{_RESET}"


def printable(text: str) -> str:
    """Text without control characters other than newline and tab."""
    return _CONTROL.sub("", text)


def one_line(text: str) -> str:
    """Text on a single line, without control characters."""
    return printable(" ".join(text.split()))
