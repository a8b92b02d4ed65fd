"""`qzoom train`: make models."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from qzoom.cli import train_gate
from qzoom.cli.arguments import check_folder, count, existing_file, positive_int
from qzoom.cli.train_sft import add_sft
from qzoom.cli.training_options import add_training_options, run_branch

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser

STAGES = ("all", "cells", "sizes", "questions", "budgets", "documents", "branches", "export")


def add_parser(verbs: argparse._SubParsersAction[Parser]) -> None:
    """Add the verb with its sub-verbs."""
    text = "train models"
    parser = verbs.add_parser("train", help=text, description=text.capitalize() + ".")
    kinds = parser.add_subparsers(title="what to train", metavar="WHAT", dest="what", required=True)
    text = "train the embedded model from nothing on procedural pictures"
    pretrain = kinds.add_parser("pretrain", help=text, description=text.capitalize() + ".")
    _add_pretrain_options(pretrain)
    pretrain.set_defaults(run=run_pretrain)
    text = "train the region network on labels of 'qzoom label region'"
    region = kinds.add_parser("region", help=text, description=text.capitalize() + ".")
    region.add_argument(
        "--labels",
        type=Path,
        action="append",
        required=True,
        metavar="DIR",
        help="label shards; give the option again for more folders",
    )
    add_training_options(region)
    region.set_defaults(run=run_region)
    add_sft(kinds)
    train_gate.add_parser(kinds)


def run_pretrain(args: argparse.Namespace) -> int:
    """Hand over to `qzoom.train.pretrain`, which resumes what is in the folder."""
    check_folder(args.out)
    pretrain = import_module("qzoom.train.pretrain")
    code: int | None = pretrain.main(args)
    return code or 0


def run_region(args: argparse.Namespace) -> int:
    """Train, print the adapter's folder; what is in the folder already is gone on from."""
    return run_branch(args, "region", tuple(args.labels))


def _add_pretrain_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--recipe",
        type=existing_file,
        required=True,
        metavar="PATH",
        help="settings in YAML, such as recipes/tiny.yaml of the repository",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of training states and of the model; a stopped training resumes from it",
    )
    parser.add_argument(
        "--init", type=Path, metavar="DIR", help="start the stage from an exported model's trunk"
    )
    parser.add_argument("--stage", choices=STAGES, default="all", help="default: all, in order")
    parser.add_argument(
        "--workers", type=count, metavar="N", help="processes that draw pictures (0: none)"
    )
    parser.add_argument("--threads", type=positive_int, metavar="N", help="threads of torch")
