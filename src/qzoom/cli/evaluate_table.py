"""`qzoom eval table`: files of result rows as one table."""

from __future__ import annotations

import argparse
from importlib import import_module
from itertools import chain
from typing import TYPE_CHECKING, Any

from qzoom.cli.arguments import existing_file

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser


def add_table(kinds: argparse._SubParsersAction[Parser]) -> None:
    """Add the sub-verb."""
    text = "methods against benchmarks, from files of result rows"
    parser = kinds.add_parser("table", help=text, description=text.capitalize() + ".")
    parser.add_argument(
        "rows", type=existing_file, nargs="+", metavar="ROWS",
        help="rows of 'qzoom eval run'; throughput is relative to the first method",
    )  # fmt: skip
    parser.add_argument(
        "--format", choices=("terminal", "markdown", "latex"), default="terminal",
        help="default: terminal",
    )  # fmt: skip
    parser.add_argument(
        "--by", choices=("benchmark", "category"), default="benchmark",
        help="what columns are (default: benchmark)",
    )  # fmt: skip
    parser.add_argument(
        "--intervals", action="store_true", help="with 95 %% intervals of scores that are means"
    )
    parser.set_defaults(run=run_table)


def run_table(args: argparse.Namespace) -> int:
    """Print the table."""
    read: Any = import_module("qzoom.eval.rows").read_results
    build: Any = import_module("qzoom.eval.table").build_table
    render: Any = import_module("qzoom.eval.table_text").render
    benchmark_of: Any = import_module("qzoom.eval.benchmarks.registry").benchmark_of
    table = build(chain.from_iterable(map(read, args.rows)), benchmark_of, args.by)
    print(render(table, args.format, intervals=args.intervals))
    return 0
