"""`qzoom data pdf`: documents as pictures with questions about them."""

from __future__ import annotations

import argparse
import json
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qzoom.cli.arguments import count, positive_int

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser


def add_pdf(kinds: argparse._SubParsersAction[Parser]) -> None:
    """Add the sub-verb."""
    text = "render pages of PDFs and ask what is printed on them; needs poppler-utils"
    pdf = kinds.add_parser("pdf", help=text, description=text.capitalize() + ".")
    pdf.add_argument("pdf", type=Path, nargs="+", metavar="PDF", help="documents")
    pdf.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="images/ and records.jsonl go here"
    )
    pdf.add_argument("--licence", required=True, metavar="TEXT", help="terms of the documents")
    pdf.add_argument("--source", required=True, metavar="TEXT", help="where they come from")
    pdf.add_argument("--dataset", default="pdf", metavar="NAME", help="default: pdf")
    pdf.add_argument("--split", metavar="NAME", help="default: by the document's name")
    pdf.add_argument("--dpi", type=positive_int, default=150, metavar="N", help="default: 150")
    pdf.add_argument("--pages", type=_span, metavar="A-B", help="of each document (default: all)")
    pdf.add_argument(
        "--per-page", type=positive_int, default=8, metavar="N", help="questions (default: 8)"
    )
    pdf.add_argument(
        "--crop-px", type=positive_int, metavar="N", help="show a square window of each page"
    )
    pdf.add_argument("--limit", type=positive_int, metavar="N", help="draw so many pages")
    pdf.add_argument(
        "--seed", default="pages", metavar="NAME", help="names what is drawn (default: pages)"
    )
    pdf.add_argument(
        "--max-bad", type=count, default=0, metavar="N",
        help="unreadable documents, and pages, that may be left out (default: 0)",
    )  # fmt: skip
    pdf.set_defaults(run=run_pdf)


def run_pdf(args: argparse.Namespace) -> int:
    """Write records of pages and print what came of it."""
    pdf_pages: Any = import_module("qzoom.data.pdf_pages")
    options = pdf_pages.PageOptions(
        licence=args.licence,
        source=args.source,
        dataset=args.dataset,
        split=args.split,
        dpi=args.dpi,
        pages=args.pages,
        per_page=args.per_page,
        crop_px=args.crop_px,
        seed=args.seed,
    )
    report = pdf_pages.write_pages(
        args.pdf, args.out, options, limit=args.limit, max_bad=args.max_bad
    )
    sys.stdout.write(json.dumps(report.to_json(), indent=2) + "\n")
    return 0


def _span(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9]\d{0,6})-([1-9]\d{0,6})", text, re.ASCII)
    if found is None or int(found[1]) > int(found[2]):
        message = f"must be A-B, two page numbers from 1 with A <= B, got {text!r}"
        raise argparse.ArgumentTypeError(message)
    return int(found[1]), int(found[2])
