"""What the verbs share in reading arguments: one-line errors, checked numbers, the version."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, NoReturn

from qzoom import __version__
from qzoom.errors import QZoomError


class UsageError(QZoomError):
    """The command line itself is wrong."""


class Parser(argparse.ArgumentParser):
    """An argument parser that raises instead of printing its usage, and knows no short forms."""

    def __init__(self, **kwargs: Any) -> None:
        # A unique prefix today may be ambiguous after the next release.
        super().__init__(allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Raise UsageError with the way to the help text."""
        raise UsageError(f"{message}; see '{self.prog} --help'")


class VersionAction(argparse.Action):
    """Print the version of this package and end."""

    def __init__(self, option_strings: list[str], dest: str, **kwargs: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *args: Any) -> NoReturn:
        """Print and leave with code 0."""
        print(f"qzoom {__version__}")
        parser.exit()


def share(text: str) -> float:
    """A number from 0 to 1; `nan` and `inf` lie outside."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, got {text!r}")
    return value


def positive_int(text: str) -> int:
    """A whole number of at least 1."""
    return _whole_number(text, 1)


def count(text: str) -> int:
    """A whole number of at least 0."""
    return _whole_number(text, 0)


def port_number(text: str) -> int:
    """A port to listen on; 0 takes a free one."""
    if not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; give 0 to 65535")
    return int(text)


def named_value(text: str) -> tuple[str, Any]:
    """NAME=VALUE, the value in JSON, or as text where it is none."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE, got {text!r}")
    try:
        return name, json.loads(value, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return name, value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")  # NaN and infinities, which Python would take


def existing_file(text: str) -> Path:
    """The path of a file that is there."""
    path = Path(text).expanduser()
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"no file at {text!r}")
    return path


def check_folder(folder: Path) -> None:
    """Refuse a folder for results that is a file.

    Raises:
        UsageError: If it is.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is a file; name a folder")


def _whole_number(text: str, least: int) -> int:
    value = int(text) if text.isascii() and text.isdecimal() else -1
    if value < least:
        message = f"must be a whole number of at least {least}, got {text!r}"
        raise argparse.ArgumentTypeError(message)
    return value
