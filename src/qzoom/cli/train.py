"""`qzoom train`: make models."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from qzoom.cli.arguments import UsageError, count, existing_file, positive_int
from qzoom.cli.quiet import hush_libraries

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser

STAGES = ("all", "cells", "sizes", "questions", "budgets", "branches", "export")


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
    _add_region_options(region)
    region.set_defaults(run=run_region)


def run_pretrain(args: argparse.Namespace) -> int:
    """Hand over to `qzoom.train.pretrain`, which resumes what is in the folder."""
    _check_folder(args.out)
    pretrain = import_module("qzoom.train.pretrain")
    code: int | None = pretrain.main(args)
    return code or 0


def run_region(args: argparse.Namespace) -> int:
    """Train, print the adapter's folder; what is in the folder already is gone on from."""
    hush_libraries()
    training = import_module("qzoom.train.region_training")
    names = ("labels", "images", "out", "model", "recipe", "workers", "device", "dtype")
    job = training.Job(**{name: getattr(args, name) for name in names})
    folder = training.train_region(job)
    if import_module("qzoom.train.parallel").processes(job.device).writes:
        sys.stdout.write(f"{folder}\n")
    return 0


def _add_region_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--labels", type=Path, required=True, metavar="DIR", help="label shards")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="image root")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="training states and the adapter"
    )
    parser.add_argument("--model", metavar="NAME", help="folder or hub id (default: embedded)")
    parser.add_argument(
        "--recipe", type=existing_file, metavar="PATH", help="YAML (default: the paper's settings)"
    )
    parser.add_argument(
        "--workers", type=count, default=1, metavar="N", help="processes that read pictures"
    )
    parser.add_argument("--device", metavar="NAME", help="such as cuda (default: cpu)")
    parser.add_argument("--dtype", metavar="NAME", help="of the weights (default: float32)")


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


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is a file; name a folder")
