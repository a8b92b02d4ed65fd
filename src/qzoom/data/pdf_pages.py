"""PDF documents as records: pages rendered as PNG, with questions and exact answer boxes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from PIL import Image

from qzoom.data.bbox_layout import PageText, read_bbox_layout
from qzoom.data.convert import SHOWN, sample
from qzoom.data.files import replacing
from qzoom.data.jsonl import write_records
from qzoom.data.page_questions import page_readings
from qzoom.data.page_views import draw_readings, has_ink, pixel_box, shifted, window_around
from qzoom.data.poppler import picture_of_page, text_of_pages
from qzoom.data.reading_questions import Reading
from qzoom.data.records import Record
from qzoom.data.splits import split_of
from qzoom.errors import DataError, ImageError
from qzoom.images.decode import decode_image

RECORDS_FILE: Final = "records.jsonl"
MAX_PIXELS: Final = 25_000_000
"""Pages that would become larger are left out."""


@dataclass(frozen=True)
class PageOptions:
    """How pages become records.

    dpi: pixels per inch.
    pages: first and last page taken of each document, from 1; None takes all.
    per_page: questions drawn for a page, at most.
    crop_px: side of a square window cut out of each page; None shows the whole page.
    seed: names the draw of pages, windows and questions.
    licence, source, dataset: as in the records.
    split: of all records; None gives each document a split by its name.
    """

    licence: str
    source: str
    dataset: str = "pdf"
    split: str | None = None
    dpi: int = 150
    pages: tuple[int, int] | None = None
    per_page: int = 8
    crop_px: int | None = None
    seed: str = "pages"


@dataclass
class PageReport:
    """What was read, written and left out."""

    documents: int = 0
    repeated_documents: int = 0
    bad_documents: int = 0
    first_bad_documents: list[str] = field(default_factory=list)
    pages: int = 0
    bad_pages: int = 0
    first_bad_pages: list[str] = field(default_factory=list)
    pages_without_questions: int = 0
    pages_too_large: int = 0
    records: int = 0
    turns: int = 0
    answers_without_ink: int = 0

    def to_json(self) -> dict[str, Any]:
        """The report as JSON."""
        return vars(self)


@dataclass(frozen=True)
class _Draft:
    """A page that has questions, not yet rendered."""

    id: str
    pdf: Path
    name: str
    page: int
    size_px: tuple[float, float]
    readings: Sequence[Reading]


def write_pages(
    pdfs: Sequence[Path],
    out: Path,
    options: PageOptions,
    *,
    limit: int | None = None,
    max_bad: int = 0,
) -> PageReport:
    """Write `out`/images/*.png and, last, `out`/records.jsonl.

    Args:
        limit: so many pages, drawn at random by the seed from all documents; None takes all.
        max_bad: documents, and pages of readable ones, that may be left out because they cannot
            be read or rendered.

    Raises:
        DataError: when poppler is missing, more documents or pages are bad, or no page has a
            question.
    """
    report = PageReport()
    drafts = _drafts(pdfs, options, report, max_bad)
    chosen = drafts if limit is None else sample(drafts, limit, options.seed)
    records = (_record_or_bad(draft, out, options, report, max_bad) for draft in chosen)
    write_records(out / RECORDS_FILE, _counted(records, report))
    return report


def _counted(records: Iterator[Record | None], report: PageReport) -> Iterator[Record]:
    for record in records:
        if record is None:
            continue
        report.records += 1
        report.turns += len(record.turns)
        yield record
    if not report.records:
        raise DataError(f"no question was found on {report.pages} pages; do they hold text?")


def _drafts(
    pdfs: Sequence[Path], options: PageOptions, report: PageReport, max_bad: int
) -> Iterator[_Draft]:
    seen: set[str] = set()
    for pdf in pdfs:
        try:
            digest = _digest(pdf)
            if digest in seen:
                report.repeated_documents += 1
                continue
            seen.add(digest)
            texts = _texts(pdf, options)
        except DataError as error:
            report.bad_documents += 1
            report.first_bad_documents = [*report.first_bad_documents, str(error)][:SHOWN]
            if report.bad_documents > max_bad:
                hint = f"bad document {report.bad_documents} where {max_bad} are allowed"
                raise DataError(f"{error}; {hint}; see --max-bad") from None
            continue
        report.documents += 1
        yield from _drafts_of(pdf, f"{_slug(pdf.stem)}-{digest[:8]}", texts, options, report)


def _drafts_of(
    pdf: Path, name: str, texts: Sequence[PageText], options: PageOptions, report: PageReport
) -> Iterator[_Draft]:
    first = 1 if options.pages is None else options.pages[0]
    for page, text in enumerate(texts, start=first):
        report.pages += 1
        if text.size_px[0] * text.size_px[1] > MAX_PIXELS:
            report.pages_too_large += 1
            continue
        readings = page_readings(text.lines)
        if not readings:
            report.pages_without_questions += 1
            continue
        identity = f"{options.dataset}-{name}-p{page}"
        yield _Draft(identity, pdf, name, page, text.size_px, readings)


def _texts(pdf: Path, options: PageOptions) -> list[PageText]:
    xml = text_of_pages(pdf, options.pages)
    return read_bbox_layout(xml, options.dpi, str(pdf)) if xml else []


def _record_or_bad(
    draft: _Draft, out: Path, options: PageOptions, report: PageReport, max_bad: int
) -> Record | None:
    try:
        record = _record(draft, out, options, report)
    except (DataError, ImageError) as error:
        report.bad_pages += 1
        report.first_bad_pages = [*report.first_bad_pages, str(error)][:SHOWN]
        if report.bad_pages > max_bad:
            hint = f"bad page {report.bad_pages} where {max_bad} are allowed; see --max-bad"
            raise DataError(f"page {draft.page} of {draft.pdf}: {error}; {hint}") from None
        return None
    report.pages_without_questions += record is None
    return record


def _record(draft: _Draft, out: Path, options: PageOptions, report: PageReport) -> Record | None:
    """The record of a page, its picture written by then; None when nothing on it can be asked."""
    picture = decode_image(picture_of_page(draft.pdf, draft.page, options.dpi))
    _check_size(picture, draft)
    inked = [r for r in draft.readings if has_ink(picture, pixel_box(r, picture.size))]
    report.answers_without_ink += len(draft.readings) - len(inked)
    seed = f"{options.seed}/{draft.id}"
    window = window_around(inked, picture.size, options.crop_px, seed)
    turns = draw_readings(shifted(inked, window), options.per_page, seed)
    if not turns:
        return None
    path = f"images/{draft.name}-p{draft.page:04d}.png"
    with replacing(out / path) as file:
        picture.crop(window).save(file, format="PNG")
    return Record(
        id=draft.id,
        images=(path,),
        turns=turns,
        dataset=options.dataset,
        mode="textual",
        licence=options.licence,
        source=options.source,
        split=options.split or split_of(draft.pdf.stem),
    )


def _check_size(picture: Image.Image, draft: _Draft) -> None:
    """A turned page is measured before the turn and its words after it, so either way round."""
    wanted = sorted(draft.size_px)
    if any(abs(a - b) > 2 for a, b in zip(sorted(picture.size), wanted, strict=True)):
        raise DataError(
            f"page {draft.page} of {draft.pdf} was rendered {picture.size[0]}x{picture.size[1]} "
            f"px, its text is laid out on {draft.size_px[0]:.0f}x{draft.size_px[1]:.0f} px"
        )


def _digest(pdf: Path) -> str:
    try:
        with pdf.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{pdf} cannot be read: {error.strerror}") from None


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:60].strip(".") or "document"
