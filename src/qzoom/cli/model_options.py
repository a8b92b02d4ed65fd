"""Which model a verb runs, and for how long it may answer."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from qzoom.cli.arguments import positive_int

if TYPE_CHECKING:
    from qzoom.zoom.model import ZoomModel


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `qzoom.load` takes."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model", metavar="NAME", help="folder or hub id (default: the embedded model)"
    )
    group.add_argument("--adapter", metavar="DIR", help="zoom branches in place of the model's own")
    group.add_argument("--device", metavar="DEVICE", help="cpu, cuda, cuda:1, mps")
    group.add_argument("--dtype", choices=("auto", "float32", "bfloat16", "float16"))


def add_length_option(group: argparse._ActionsContainer) -> None:
    """Add the longest answer, for verbs that ask."""
    group.add_argument(
        "--max-new-tokens",
        type=positive_int,
        default=64,
        metavar="N",
        help="longest answer in tokens (default: 64)",
    )


def load_model(args: argparse.Namespace) -> ZoomModel:
    """The model that those options name.

    Raises:
        CheckpointError: when it cannot be loaded.
    """
    import qzoom

    return qzoom.load(args.model, adapter=args.adapter, dtype=args.dtype, device=args.device)
