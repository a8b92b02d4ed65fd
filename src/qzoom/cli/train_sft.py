"""`qzoom train sft`: teach the trunk to answer with a crop in its prompt."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import TYPE_CHECKING

from qzoom.cli.arguments import check_folder, existing_file
from qzoom.cli.quiet import hush_libraries
from qzoom.cli.training_options import add_training_options, print_made, training_options

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser


def add_sft(kinds: argparse._SubParsersAction[Parser]) -> None:
    """Add the sub-verb."""
    text = "train the language model on answers mined by 'qzoom label mine'"
    parser = kinds.add_parser("sft", help=text, description=text.capitalize() + ".")
    parser.add_argument(
        "--samples",
        type=existing_file,
        action="append",
        required=True,
        metavar="FILE",
        help="JSONL; give it again for more files",
    )
    add_training_options(parser, "the model")
    parser.set_defaults(run=run_sft)


def run_sft(args: argparse.Namespace) -> int:
    """Train, print the model's folder; what is in the folder already is gone on from."""
    check_folder(args.out)
    hush_libraries()
    training = import_module("qzoom.train.sft_training")
    job = training.SftJob(tuple(args.samples), **training_options(args))
    print_made(training.train_sft(job), args.device)
    return 0
