"""Which model a verb runs."""

from __future__ import annotations

import argparse


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `qzoom.load` takes."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model", metavar="NAME", help="folder or hub id (default: the embedded model)"
    )
    group.add_argument("--adapter", metavar="DIR", help="zoom branches in place of the model's own")
    group.add_argument("--device", metavar="DEVICE", help="cpu, cuda, cuda:1, mps")
    group.add_argument("--dtype", choices=("auto", "float32", "bfloat16", "float16"))
