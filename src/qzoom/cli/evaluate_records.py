"""`qzoom eval records`: questions about documents and other pictures of your own."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from qzoom.cli.arguments import existing_file, positive_int
from qzoom.cli.evaluation import add_model_options, described, load_model, write_report

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser

# As in qzoom.eval.looks, which imports torch.
_LOOKS: Final = ("direct_coarse", "direct_double", "direct_full", "zoom_coarse", "always_coarse")


def add_records(kinds: argparse._SubParsersAction[Parser]) -> None:
    """Add the sub-verb."""
    text = "exact match on the questions of records, directly and zoomed"
    records = kinds.add_parser("records", help=text, description=text.capitalize() + ".")
    records.add_argument("records", type=existing_file, metavar="RECORDS", help="a JSONL file")
    records.add_argument("--images", type=Path, required=True, metavar="DIR", help="image root")
    records.add_argument(
        "--looks", nargs="+", choices=_LOOKS, metavar="LOOK",
        default=("direct_coarse", "direct_full", "zoom_coarse"),
        help=f"{', '.join(_LOOKS)} (default: direct_coarse direct_full zoom_coarse)",
    )  # fmt: skip
    records.add_argument("--split", metavar="NAME", help="only records of this split")
    records.add_argument("--limit", type=positive_int, metavar="N", help="at most so many records")
    records.add_argument(
        "--question", action="append", default=[], metavar="KIND",
        help="only questions of this kind: their text, with \"...\" for what stands in quotes",
    )  # fmt: skip
    records.add_argument(
        "--max-new-tokens", type=positive_int, default=48, metavar="N", help="default: 48"
    )
    add_model_options(records)
    records.set_defaults(run=run_records)


def run_records(args: argparse.Namespace) -> int:
    """Evaluate and print a table, or the whole report as JSON."""
    folder = import_module("qzoom.data.images").ImageFolder(args.images)
    read: Any = import_module("qzoom.data.jsonl").read_records
    model = load_model(args)
    evaluation: Any = import_module("qzoom.eval.records")
    asked = evaluation.chosen(read(args.records), args.split, args.limit, args.question)
    report = {
        "command": "qzoom eval records",
        "records": args.records.name,
        "split": args.split,
        "limit": args.limit,
        "questions": args.question,
        "max_new_tokens": args.max_new_tokens,
        **described(model, args),
        "looks": evaluation.evaluate_records(
            model, asked, folder, args.looks, max_new_tokens=args.max_new_tokens
        ),
    }
    write_report(report, args)
    return 0
