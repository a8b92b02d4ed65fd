"""`qzoom train gate`: the branch that decides whether to look closer."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from qzoom.cli.arguments import existing_file
from qzoom.cli.training_options import add_training_options, run_branch

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser


def add_parser(kinds: argparse._SubParsersAction[Parser]) -> None:
    """Add the sub-verb."""
    text = "train the gate on labels of 'qzoom label gate'"
    gate = kinds.add_parser("gate", help=text, description=text.capitalize() + ".")
    gate.add_argument(
        "--labels",
        type=existing_file,
        action="append",
        required=True,
        metavar="FILE",
        help="gate.jsonl; give the option again for more files",
    )
    add_training_options(gate)
    gate.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train, print the adapter's folder; what is in the folder already is gone on from."""
    return run_branch(args, "gate", tuple(args.labels))
