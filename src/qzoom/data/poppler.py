"""Poppler's programs, run on files of unknown origin: no shell, limited time, limited output."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Final

from qzoom.errors import DataError

_PAST_THE_END: Final = 99
"""Exit code of poppler when the first page asked for is not there."""


@dataclass(frozen=True)
class PopplerLimits:
    """How long a program may run, and how many bytes it may write."""

    text_s: float = 120.0
    picture_s: float = 60.0
    text_bytes: int = 128 * 1024 * 1024
    picture_bytes: int = 64 * 1024 * 1024


DEFAULT_LIMITS: Final = PopplerLimits()


def text_of_pages(
    pdf: Path, pages: tuple[int, int] | None = None, limits: PopplerLimits = DEFAULT_LIMITS
) -> bytes:
    """The words of a PDF with their boxes, as `pdftotext -bbox-layout` writes them.

    Args:
        pages: first and last page, from 1; None takes all.

    Returns:
        XHTML; nothing when the document ends before the first page asked for.

    Raises:
        DataError: when pdftotext is missing, fails, or passes a limit.
    """
    span = () if pages is None else ("-f", str(pages[0]), "-l", str(pages[1]))
    arguments = ["-q", "-bbox-layout", "-enc", "UTF-8", *span, _file(pdf), "-"]
    return _run("pdftotext", arguments, pdf, limits.text_s, limits.text_bytes)


def picture_of_page(
    pdf: Path, page: int, dpi: int, limits: PopplerLimits = DEFAULT_LIMITS
) -> bytes:
    """One page as PNG.

    Args:
        page: from 1.
        dpi: pixels per inch.

    Raises:
        DataError: when pdftoppm is missing, fails, or passes a limit.
    """
    arguments = ["-q", "-png", "-r", str(dpi), "-f", str(page), "-l", str(page), _file(pdf)]
    return _run("pdftoppm", arguments, pdf, limits.picture_s, limits.picture_bytes)


def _file(pdf: Path) -> str:
    """An absolute path: it starts with the root, so no name can be read as an option."""
    path = pdf.resolve()
    if not path.is_file():
        raise DataError(f"no PDF file at {pdf}")
    return str(path)


def _run(program: str, arguments: list[str], pdf: Path, limit_s: float, limit_bytes: int) -> bytes:
    found = shutil.which(program)
    if found is None:
        raise DataError(
            f"{program} was not found; install the package poppler-utils and put it on PATH"
        )
    with subprocess.Popen(
        [found, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        timer = Timer(limit_s, process.kill)
        timer.start()
        try:
            assert process.stdout is not None
            # One byte past the limit is enough to know.
            output = process.stdout.read(limit_bytes + 1)
            if len(output) > limit_bytes:
                raise DataError(f"{program} wrote more than {limit_bytes} bytes about {pdf}")
            code = process.wait()
            late = not timer.is_alive()
        finally:
            timer.cancel()
            process.kill()
    if late:
        raise DataError(f"{program} took more than {limit_s:g} s for {pdf}")
    if code == _PAST_THE_END:
        return b""
    if code != 0:
        hint = "is it a PDF that opens without a password?"
        raise DataError(f"{program} failed on {pdf} with code {code}; {hint}")
    return output
