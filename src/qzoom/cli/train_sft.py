"""`qzoom train sft`: teach the trunk to answer with a crop in its prompt."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from qzoom.cli.arguments import UsageError, count, existing_file
from qzoom.cli.quiet import hush_libraries

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
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="image root")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="training states and the model"
    )
    parser.add_argument("--model", metavar="NAME", help="folder or hub id (default: embedded)")
    parser.add_argument(
        "--adapter", type=Path, metavar="DIR", help="zoom branches in place of the model's own"
    )
    parser.add_argument(
        "--recipe", type=existing_file, metavar="PATH", help="YAML (default: the paper's settings)"
    )
    parser.add_argument(
        "--workers", type=count, default=1, metavar="N", help="processes that read pictures"
    )
    parser.add_argument("--device", metavar="NAME", help="such as cuda (default: cpu)")
    parser.add_argument("--dtype", metavar="NAME", help="of the weights (default: float32)")
    parser.set_defaults(run=run_sft)


def run_sft(args: argparse.Namespace) -> int:
    """Train, print the model's folder; what is in the folder already is gone on from."""
    if args.out.exists() and not args.out.is_dir():
        raise UsageError(f"--out {args.out} is a file; name a folder")
    hush_libraries()
    training = import_module("qzoom.train.sft_training")
    names = ("images", "out", "model", "adapter", "recipe", "workers", "device", "dtype")
    job = training.SftJob(tuple(args.samples), **{name: getattr(args, name) for name in names})
    folder = training.train_sft(job)
    if import_module("qzoom.train.parallel").processes(job.device).writes:
        sys.stdout.write(f"{folder}\n")
    return 0
