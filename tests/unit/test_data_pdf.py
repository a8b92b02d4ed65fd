"""`qzoom data pdf` on a small document, drawn here; needs poppler on PATH."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from qzoom.cli import main
from qzoom.data.check import check_records
from qzoom.data.images import ImageFolder
from qzoom.data.jsonl import read_records
from qzoom.data.page_views import has_ink
from qzoom.data.poppler import picture_of_page
from qzoom.data.splits import split_of
from qzoom.geometry.boxes import Box

poppler = pytest.mark.skipif(
    shutil.which("pdftotext") is None or shutil.which("pdftoppm") is None,
    reason="poppler's pdftotext and pdftoppm are not on PATH: install poppler-utils",
)
COMMON = ("--licence", "CC0", "--source", "here")


def draw_pdf(path: Path, pages: Sequence[Sequence[tuple[str, str]]], rotation: float = 0) -> Path:
    """Pages of 4 x 2 inches with lines of (text, colour)."""
    with PdfPages(path, metadata={"CreationDate": None}) as pdf:
        for lines in pages:
            figure = Figure(figsize=(4, 2))
            for index, (text, colour) in enumerate(lines):
                place = (0.1, 0.1 if rotation else 0.8 - 0.2 * index)
                figure.text(*place, text, color=colour, fontsize=12, rotation=rotation)
            pdf.savefig(figure)
    return path


@pytest.fixture(scope="module")
def pdf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shown, hidden = ("the quick brown fox", "black"), ("over lazy sleeping dogs", "white")
    pages = [[shown, hidden], [("Total: 281", "black")], [("nothing", "black")]]
    return draw_pdf(tmp_path_factory.mktemp("pdf") / "a b.pdf", pages)


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    assert main(["data", "pdf", *map(str, arguments), *COMMON]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


@poppler
def test_pages_become_records(
    pdf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = run(capsys, pdf, pdf, "--out", tmp_path, "--dpi", "100")
    assert (report["documents"], report["repeated_documents"], report["pages"]) == (1, 1, 3)
    assert (report["records"], report["turns"]) == (2, 3)
    assert (report["pages_without_questions"], report["answers_without_ink"]) == (1, 2)
    assert check_records(tmp_path / "records.jsonl", tmp_path, decode=True).problems == 0
    first, second = read_records(tmp_path / "records.jsonl")
    assert [(turn.question, turn.answers) for turn in (*first.turns, *second.turns)] == [
        ('what word comes after "the quick"?', ("brown",)),
        ('what word comes after "quick brown"?', ("fox",)),
        ('what is written next to "Total"?', ("281",)),
    ]
    assert first.split == split_of("a b")
    assert (first.licence, first.source, first.dataset) == ("CC0", "here", "pdf")
    assert first.images[0].startswith("images/a_b-")
    picture = ImageFolder(tmp_path).open(first.images[0])
    assert picture.size == (400, 200)
    (brown,), (fox,) = (turn.boxes_px_xyxy for turn in first.turns)
    assert has_ink(picture, Box(*map(int, brown)))
    # Between the two words there is nothing.
    assert not has_ink(picture, Box(int(brown[2]) + 1, int(brown[1]), int(fox[0]) - 1, int(fox[3])))


@poppler
def test_the_same_seed_gives_the_same_files(
    pdf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--limit", "1", "--crop-px", "250", "--per-page", "1", "--split", "mine")
    outs = [tmp_path / name for name in ("one", "two")]
    for out in outs:
        assert run(capsys, pdf, "--out", out, "--seed", "a", *options)["turns"] == 1
    files = [sorted(p.relative_to(out) for p in out.rglob("*")) for out in outs]
    assert files[0] == files[1]
    for name in files[0]:
        if (outs[0] / name).is_file():
            assert (outs[0] / name).read_bytes() == (outs[1] / name).read_bytes()
    (record,) = read_records(outs[0] / "records.jsonl")
    assert record.split == "mine"
    assert ImageFolder(outs[0]).open(record.images[0]).size == (250, 250)


@poppler
def test_a_page_that_is_turned_for_reading(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lying = draw_pdf(tmp_path / "lying.pdf", [[("the quick brown fox", "black")]], rotation=90)
    arguments = ["data", "pdf", str(lying), "--out", str(tmp_path / "lying"), *COMMON]
    assert main(arguments) == 2
    assert "no question was found on 1 pages" in capsys.readouterr().err
    upright = tmp_path / "upright.pdf"
    found = re.sub(
        rb"/Annots \d+ 0 R", lambda m: b"/Rotate 90".ljust(len(m[0])), lying.read_bytes()
    )
    upright.write_bytes(found)
    out = tmp_path / "upright"
    report = run(capsys, upright, "--out", out)
    assert (report["turns"], report["answers_without_ink"]) == (2, 0)
    (record,) = read_records(out / "records.jsonl")
    assert ImageFolder(out).open(record.images[0]).size == (300, 600)


@poppler
def test_bad_documents(pdf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "-bad.pdf"
    bad.write_bytes(b"no PDF")
    arguments = ["data", "pdf", str(bad), str(pdf), "--out", str(tmp_path / "o"), *COMMON]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "is it a PDF" in error
    assert "bad document 1 where 0 are allowed; see --max-bad" in error
    assert not (tmp_path / "o").exists()
    assert main([*arguments, "--max-bad", "1", "--pages", "2-9"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["bad_documents"], report["records"]) == (1, 1)
    assert main([*arguments, "--max-bad", "1", "--pages", "7-9"]) == 2
    assert "no question was found on 0 pages" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x.pdf", "--out", "o"], "required: --licence, --source"),
        (["x.pdf", "--out", "o", *COMMON, "--pages", "0-2"], "must be A-B"),
        (["x.pdf", "--out", "o", *COMMON, "--pages", "3-2"], "must be A-B"),
        (["gone.pdf", "--out", "o", *COMMON], "gone.pdf cannot be read"),
    ],
)
def test_bad_usage(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["data", "pdf", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err


@poppler
def test_a_page_that_cannot_be_rendered(
    pdf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def render(path: Path, page: int, dpi: int) -> bytes:
        return b"not a picture" if page == 1 else picture_of_page(path, page, dpi)

    monkeypatch.setattr("qzoom.data.pdf_pages.picture_of_page", render)
    assert main(["data", "pdf", str(pdf), "--out", str(tmp_path / "no"), *COMMON]) == 2
    assert re.search(r"page 1 of .*a b.pdf: .*; bad page 1 where 0 are", capsys.readouterr().err)
    assert not (tmp_path / "no" / "records.jsonl").exists()
    report = run(capsys, pdf, "--out", tmp_path / "yes", "--dpi", "100", "--max-bad", "1")
    assert (report["bad_pages"], report["records"]) == (1, 1)
    assert len(report["first_bad_pages"]) == 1
