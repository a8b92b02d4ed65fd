"""How poppler's programs are run, shown with stand-ins on PATH."""

from __future__ import annotations

from pathlib import Path

import pytest

from qzoom.data.poppler import PopplerLimits, picture_of_page, text_of_pages
from qzoom.errors import DataError


@pytest.fixture
def pdf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file whose name looks like an option, named relative to the working folder."""
    (tmp_path / "-opw=x.pdf").write_bytes(b"%PDF-1.4")
    (tmp_path / "bin").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return Path("-opw=x.pdf")


def put(folder: Path, program: str, script: str) -> None:
    path = folder / "bin" / program
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_what_is_asked_of_the_programs(tmp_path: Path, pdf: Path) -> None:
    for program in ("pdftotext", "pdftoppm"):
        put(tmp_path, program, 'for word; do printf "%s|" "$word"; done')
    place = tmp_path.resolve() / "-opw=x.pdf"
    assert text_of_pages(pdf) == f"-q|-bbox-layout|-enc|UTF-8|{place}|-|".encode()
    assert b"|-f|3|-l|5|/" in text_of_pages(pdf, (3, 5))
    assert picture_of_page(pdf, 7, 150) == f"-q|-png|-r|150|-f|7|-l|7|{place}|".encode()


def test_a_missing_program_is_named_with_its_package(pdf: Path) -> None:
    with pytest.raises(DataError, match=r"pdftotext was not found; install .* poppler-utils"):
        text_of_pages(pdf)
    with pytest.raises(DataError, match=r"no PDF file at gone\.pdf"):
        text_of_pages(Path("gone.pdf"))
    with pytest.raises(DataError, match="no PDF file at "):
        picture_of_page(pdf.parent, 1, 72)


def test_limits_and_failures(tmp_path: Path, pdf: Path) -> None:
    limits = PopplerLimits(text_s=0.2, picture_s=30.0, text_bytes=100, picture_bytes=10)
    put(tmp_path, "pdftoppm", "while :; do echo xxxxxxxxxx; done")
    with pytest.raises(DataError, match="wrote more than 10 bytes"):
        picture_of_page(pdf, 1, 72, limits)
    put(tmp_path, "pdftotext", "while :; do :; done")
    with pytest.raises(DataError, match=r"took more than 0\.2 s"):
        text_of_pages(pdf, None, limits)
    put(tmp_path, "pdftotext", "exit 1")
    with pytest.raises(DataError, match=r"failed on -opw=x\.pdf with code 1; is it a PDF"):
        text_of_pages(pdf)
    put(tmp_path, "pdftotext", "exit 99")
    assert text_of_pages(pdf, (5, 6)) == b""
