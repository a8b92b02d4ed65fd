"""`qzoom data`: check, convert and draw training data."""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qzoom.cli.arguments import count, existing_file, positive_int
from qzoom.cli.data_pdf import add_pdf
from qzoom.cli.terminal import printable
from qzoom.data.readers.registry import READERS
from qzoom.errors import DataError

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser


def add_parser(verbs: argparse._SubParsersAction[Parser]) -> None:
    """Add the verb with its sub-verbs."""
    text = "check, convert and draw training data"
    parser = verbs.add_parser("data", help=text, description=text.capitalize() + ".")
    kinds = parser.add_subparsers(title="what to do", metavar="WHAT", dest="what", required=True)
    _add_check(kinds)
    _add_convert(kinds)
    _add_synth(kinds)
    add_pdf(kinds)
    _add_unpickle(kinds)


def run_check(args: argparse.Namespace) -> int:
    """Print a report, and fail when there are more problems than allowed."""
    check: Any = import_module("qzoom.data.check").check_records
    report = check(args.file, args.images, decode=args.decode)
    sys.stdout.write(_json(report.to_json()) if args.json else _check_text(report))
    if report.problems > args.max_bad:
        raise DataError(f"{args.file}: problems: {report.problems}, allowed: {args.max_bad}")
    return 0


def run_convert(args: argparse.Namespace) -> int:
    """Write records from published files and print what came of it."""
    options: Any = import_module("qzoom.data.readers.options").ReadOptions(
        images=args.images,
        prefix=args.prefix,
        moves=tuple(args.map),
        only=tuple(args.only),
        keep_suffix=not args.strip_suffix,
        columns=dict(args.column),
        dataset=args.dataset,
        mode=args.mode,
        licence=args.licence,
        split=args.split,
    )
    reader: Any = import_module("qzoom.data.readers.registry").reader(args.reader)
    convert: Any = import_module("qzoom.data.convert").convert
    report = convert(
        reader,
        args.input,
        options,
        args.out,
        limit=args.limit,
        seed=args.seed,
        only_split=args.only_split,
        max_bad=args.max_bad,
    )
    sys.stdout.write(_json(report.to_json()))
    return 0


def run_synth(args: argparse.Namespace) -> int:
    """Draw scenes and print where their records are."""
    synth: Any = import_module("qzoom.data.readers.synth")
    if args.kind == "receipts":
        made = synth.write_receipts(args.out, args.scenes, args.seeds)
    else:
        made = synth.write_scenes(args.out, args.scenes, args.seeds, args.split)
    sys.stdout.write(f"{made}\n")
    return 0


def run_unpickle(args: argparse.Namespace) -> int:
    """Convert a hosted pickle and print what came of it."""
    convert_pickle: Any = import_module("qzoom.data.pickle_labels").convert_pickle
    report = convert_pickle(args.file, args.out, max_bad=args.max_bad)
    sys.stdout.write(_json(vars(report)))
    return 0


def _add_check(kinds: argparse._SubParsersAction[Parser]) -> None:
    text = "report what a file of records holds and what is wrong with it"
    check = kinds.add_parser("check", help=text, description=text.capitalize() + ".")
    check.add_argument("file", type=existing_file, metavar="FILE", help="records, as JSONL")
    check.add_argument("--images", type=Path, metavar="ROOT", help="look for each image below this")
    check.add_argument("--decode", action="store_true", help="decode each image as well")
    check.add_argument("--json", action="store_true", help="print one JSON object")
    _add_max_bad(check, "problems allowed (default: 0)")
    check.set_defaults(run=run_check)


def _add_convert(kinds: argparse._SubParsersAction[Parser]) -> None:
    text = "write records from files as their owners publish them"
    listed = "; ".join(f"{reader.name}: {reader.text}" for reader in READERS.values())
    convert = kinds.add_parser(
        "convert", help=text, description=f"{text.capitalize()}. Readers: {listed}."
    )
    convert.add_argument("reader", choices=tuple(READERS), metavar="READER", help="see above")
    convert.add_argument("input", type=Path, nargs="+", metavar="INPUT", help="published files")
    convert.add_argument(
        "--images", type=Path, required=True, metavar="ROOT", help="root of the images' paths"
    )
    convert.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="records, as JSONL"
    )
    convert.add_argument("--limit", type=positive_int, metavar="N", help="at most so many records")
    convert.add_argument(
        "--seed", metavar="NAME", help="draw the --limit records at random, the same for a name"
    )
    convert.add_argument("--only-split", metavar="NAME", help="keep the records of one split")
    _add_reader_options(convert)
    _add_max_bad(convert, "bad rows that may be left out (default: 0)")
    convert.set_defaults(run=run_convert)


def _add_reader_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prefix", metavar="DIR", help="folder before image names")
    parser.add_argument(
        "--map", type=_pair, action="append", default=[], metavar="OLD=NEW",
        help="replace the beginning of image paths",
    )  # fmt: skip
    parser.add_argument(
        "--only", action="append", default=[], metavar="START", help="keep images that begin so"
    )
    parser.add_argument(
        "--column", type=_pair, action="append", default=[], metavar="OURS=THEIRS",
        help="name a table's column: question, answers, image, id or boxes",
    )  # fmt: skip
    parser.add_argument(
        "--strip-suffix", action="store_true", help="drop the short-answer sentence of questions"
    )
    parser.add_argument("--dataset", metavar="NAME", help="in place of the reader's own")
    parser.add_argument("--mode", choices=("textual", "natural"), help="in place of the reader's")
    parser.add_argument("--licence", metavar="TEXT", help="in place of the reader's own")
    parser.add_argument("--split", metavar="NAME", help="in place of the reader's own")


def _add_synth(kinds: argparse._SubParsersAction[Parser]) -> None:
    text = "draw procedural scenes and their questions, answers and boxes"
    synth = kinds.add_parser("synth", help=text, description=text.capitalize() + ".")
    synth.add_argument("--scenes", type=positive_int, required=True, metavar="N")
    synth.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="images/ and records.jsonl go here"
    )
    synth.add_argument(
        "--seeds", default="data", metavar="NAME", help="names the scenes' seeds (default: data)"
    )
    synth.add_argument(
        "--split", choices=("train", "heldout"), default="train", help="faces (default: train)"
    )
    synth.add_argument(
        "--kind",
        choices=("world", "receipts"),
        default="world",
        help="signs, cards, charts and tables (default), or till receipts",
    )
    synth.set_defaults(run=run_synth)


def _add_unpickle(kinds: argparse._SubParsersAction[Parser]) -> None:
    text = "convert a pickle hosted for Q-Zoom, without running it"
    unpickle = kinds.add_parser("unpickle", help=text, description=text.capitalize() + ".")
    unpickle.add_argument("file", type=existing_file, metavar="FILE", help="stage 1 or 3 labels")
    unpickle.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    _add_max_bad(unpickle, "bad rows that may be left out (default: 0)")
    unpickle.set_defaults(run=run_unpickle)


def _add_max_bad(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--max-bad", type=count, default=0, metavar="N", help=text)


def _pair(text: str) -> tuple[str, str]:
    old, mark, new = text.partition("=")
    if not old or not mark:
        raise argparse.ArgumentTypeError(f"must be OLD=NEW, got {text!r}")
    return old, new


def _json(report: dict[str, Any]) -> str:
    return json.dumps(report, indent=2) + "\n"


def _check_text(report: Any) -> str:
    lines = [
        f"{report.records} records, {report.turns} turns ({report.answered} with answers), "
        f"{report.boxes} boxes"
    ]
    for name in ("dataset", "mode", "licence"):
        counted = getattr(report, f"by_{name}")
        lines += [f"{name:<8} {text}: {number}" for text, number in sorted(counted.items())]
    done = "decoded" if report.images_decoded else "looked for"
    lines.append(f"images   {f'{report.images} {done}' if report.images_looked_for else 'skipped'}")
    for name, found in report.findings.items():
        if found.count:
            lines.append(f"{name.replace('_', ' ')}: {found.count}")
            lines += [f"  {text}" for text in found.first]
    lines.append(f"problems {report.problems}")
    # Names come from the file, which may be anybody's.
    return "".join(f"{printable(line)}\n" for line in lines)
