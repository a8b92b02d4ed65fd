"""What the trainings on labels and samples share on the command line."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from qzoom.cli.arguments import check_folder, count, existing_file
from qzoom.cli.quiet import hush_libraries


def add_training_options(parser: argparse.ArgumentParser, made: str = "the adapter") -> None:
    """Everything but the labels or samples, which each training has in its own form.

    Args:
        made: What `--out` holds at the end.
    """
    parser.add_argument(
        "--images",
        type=Path,
        action="append",
        required=True,
        metavar="DIR",
        help="image root; give the option again for more, each picture in one of them",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help=f"training states and {made}"
    )
    parser.add_argument("--model", metavar="NAME", help="folder or hub id (default: embedded)")
    parser.add_argument(
        "--adapter", type=Path, metavar="DIR", help="branches to start from, not the model's own"
    )
    parser.add_argument(
        "--recipe", type=existing_file, metavar="PATH", help="YAML (default: the paper's settings)"
    )
    parser.add_argument(
        "--workers", type=count, default=1, metavar="N", help="processes that read pictures"
    )
    parser.add_argument("--device", metavar="NAME", help="such as cuda (default: cpu)")
    parser.add_argument("--dtype", metavar="NAME", help="of the weights (default: float32)")


def run_branch(args: argparse.Namespace, branch: str, labels: Any) -> int:
    """Train, print the adapter's folder; what is in the folder already is gone on from.

    Args:
        branch: "region" or "gate".
    """
    check_folder(args.out)
    hush_libraries()
    job = import_module("qzoom.train.branch_job").Job(labels, **training_options(args))
    train: Any = getattr(import_module(f"qzoom.train.{branch}_training"), f"train_{branch}")
    print_made(train(job), args.device)
    return 0


def training_options(args: argparse.Namespace) -> dict[str, Any]:
    """The values of `add_training_options` by name."""
    names = ("images", "out", "model", "recipe", "workers", "device", "dtype", "adapter")
    return {name: getattr(args, name) for name in names}


def print_made(folder: Path, device: str | None) -> None:
    """Print a folder, once where several processes made it."""
    if import_module("qzoom.train.parallel").processes(device).writes:
        sys.stdout.write(f"{folder}\n")
