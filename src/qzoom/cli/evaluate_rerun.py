"""`qzoom eval rerun`: rows answered again, to see whether they reproduce."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qzoom.cli.arguments import existing_file, positive_int
from qzoom.cli.quiet import hush_libraries
from qzoom.cli.terminal import one_line
from qzoom.errors import DataError

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser
    from qzoom.eval.rerun import Rerun
    from qzoom.eval.rows import ResultRow

DIFFERS = 1


def add_rerun(kinds: argparse._SubParsersAction[Parser]) -> None:
    """Add the sub-verb."""
    text = "answer stored rows again and compare; ends with 1 where one does not reproduce"
    parser = kinds.add_parser("rerun", help=text, description=text.capitalize() + ".")
    parser.add_argument("rows", type=existing_file, metavar="ROWS", help="rows of 'qzoom eval run'")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--sample", metavar="ID", help="the row of this sample")
    which.add_argument("--all", action="store_true", help="every row")
    parser.add_argument("--data", type=Path, metavar="PATH", help="files (default: hub's cache)")
    parser.add_argument("--model", metavar="NAME", help="folder or hub id (default: the row's)")
    parser.add_argument("--adapter", metavar="DIR", help="zoom branches (default: the row's)")
    parser.add_argument("--device", metavar="NAME", help="such as cpu (default: the row's)")
    parser.add_argument(
        "--threads", type=positive_int, metavar="N", help="of torch (default: the row's)"
    )
    parser.add_argument("--json", action="store_true", help="print all fields as JSON")
    parser.set_defaults(run=run_rerun)


def run_rerun(args: argparse.Namespace) -> int:
    """Print what is stored beside what comes out now."""
    hush_libraries()
    rows = _chosen(args)
    rerun: Any = import_module("qzoom.eval.rerun").rerun
    found = []
    for each in rerun(rows, args.data, lambda row: _load(row, args)):
        found.append(each)
        if not args.json:
            sys.stdout.write(_text(each, whole=not args.all))
    differ = sum(not each.same for each in found)
    if args.json:
        print(json.dumps([{**asdict(each), "same": each.same} for each in found], indent=2))
    else:
        print(f"{len(found) - differ} of {len(found)} rows reproduce")
    return DIFFERS if differ else 0


def _chosen(args: argparse.Namespace) -> list[ResultRow]:
    rows: list[ResultRow] = import_module("qzoom.eval.rows").rows_of_one_benchmark(args.rows)
    if args.all:
        return rows
    found = [row for row in rows if row.sample == args.sample]
    if not found:
        raise DataError(
            f"{args.rows} has no row of sample {args.sample!r}; its first is {rows[0].sample!r}"
        )
    return found


def _load(row: ResultRow, args: argparse.Namespace) -> Any:
    """The model of a row: what it was loaded from, as far as the options do not say otherwise."""
    torch: Any = import_module("torch")
    if threads := args.threads or row.run.get("threads"):
        torch.set_num_threads(threads)
    return import_module("qzoom.loading").load(
        args.model or row.run.get("source") or row.settings.get("model"),
        adapter=args.adapter or row.run.get("adapter"),
        dtype=row.run.get("dtype"),
        device=args.device or row.run.get("device"),
        attn_implementation=row.run.get("attention"),
    )


def _text(each: Rerun, *, whole: bool) -> str:
    """All fields of a row, or only those that differ."""
    lines = [f"{one_line(each.sample)}: {'reproduces' if each.same else 'DIFFERS'}"]
    checks: Sequence[Any] = [check for check in each.checks if whole or not check.same]
    for check in checks:
        sign = "=" if check.same else "!"
        stored, now = (one_line(json.dumps(value)) for value in (check.stored, check.now))
        lines.append(f"  {sign} {check.field:<17} {stored}")
        if not check.same or stored != now:
            lines.append(f"    {'now':<17} {now}")
    return "\n".join(lines) + "\n"
