"""`qzoom label gate`: which questions need a closer look."""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from qzoom.cli.arguments import UsageError, check_folder, positive_int
from qzoom.cli.data_options import (
    add_answer_options,
    add_data_options,
    answer_run,
    open_model,
    open_pool,
    say,
)
from qzoom.cli.quiet import hush_libraries

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser

# The published labels' list is not known; these are the resolutions its code hints at.
CELLS = (64, 128, 256, 384, 576, 768, 1024)


def add_parser(kinds: argparse._SubParsersAction[Parser]) -> None:
    """Add the sub-verb."""
    text = "gate labels: which questions need a closer look"
    gate = kinds.add_parser("gate", help=text, description=text.capitalize() + ".")
    add_data_options(gate)
    add_answer_options(gate)
    gate.add_argument(
        "--kind",
        choices=("consistency", "crop-fix", "naive"),
        default="consistency",
        help="from rising resolutions (default), from the crop itself, or without the filter",
    )
    gate.add_argument(
        "--cells",
        type=positive_int,
        nargs="+",
        metavar="N",
        help=f"resolutions (default: {' '.join(map(str, CELLS))})",
    )
    gate.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Answer, judge and write; print the counts. A run that was stopped goes on."""
    _check(args)
    hush_libraries()
    labels: Any = import_module("qzoom.labels.gate_labels")
    rules: Any = import_module("qzoom.labels.consistency").RULES
    plan = labels.GateLabelPlan(
        kind=args.kind,
        cells=() if args.kind == "crop-fix" else tuple(sorted(args.cells or CELLS)),
        rule=rules[args.rule](),
        run=answer_run(args),
        max_new_tokens=args.max_new_tokens,
    )
    pool = open_pool(args)
    summary = labels.label_gate(pool, open_model(args), args.out, plan, say)
    sys.stdout.write(json.dumps(summary["outcomes"]) + "\n")
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.kind == "crop-fix" and args.cells:
        raise UsageError("--cells has no effect with --kind crop-fix; give --max-cells instead")
    if args.kind != "crop-fix" and args.max_cells:
        raise UsageError(f"--max-cells has no effect with --kind {args.kind}; give --cells")
    check_folder(args.out)
