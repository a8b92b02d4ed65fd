"""`qzoom label boxes` and `qzoom label taught`: what answer boxes that are known can teach."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from qzoom.cli.arguments import count, positive_int, share
from qzoom.cli.data_options import add_record_options, open_pool
from qzoom.cli.quiet import hush_libraries

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser


def add_boxes(kinds: argparse._SubParsersAction[Parser]) -> None:
    """Add `label boxes`."""
    text = "region labels from answer boxes: no model is asked"
    parser = kinds.add_parser("boxes", help=text, description=text.capitalize() + ".")
    _add_known_options(parser, "folder of label shards")
    parser.add_argument("--cells", type=positive_int, default=576, metavar="N", help="of a map")
    parser.set_defaults(run=run_boxes)


def add_taught(kinds: argparse._SubParsersAction[Parser]) -> None:
    """Add `label taught`."""
    text = "samples for 'qzoom train sft' that teach reading: crops around known answers"
    parser = kinds.add_parser("taught", help=text, description=text.capitalize() + ".")
    _add_known_options(parser, "JSONL")
    parser.add_argument(
        "--crops", type=count, default=1, metavar="N", help="crops of each answer (default: 1)"
    )
    parser.add_argument(
        "--grown", type=count, default=2, metavar="CELLS", help="at most, beyond the answer's cells"
    )
    parser.add_argument(
        "--full", type=count, default=0, metavar="N", help="times as a whole picture (default: 0)"
    )
    parser.add_argument("--full-cells", type=positive_int, default=1024, metavar="N")
    parser.add_argument(
        "--longest", type=positive_int, default=32, metavar="N", help="characters of an answer"
    )
    parser.add_argument("--seed", type=count, default=0, metavar="N")
    parser.set_defaults(run=run_taught)


def run_boxes(args: argparse.Namespace) -> int:
    """Write label shards; print counts."""
    pool, pipeline = _open(args)
    settings = import_module("qzoom.labels.region_settings").RegionLabelSettings(
        layout="native", cells=args.cells, sinks="none"
    )
    label = import_module("qzoom.labels.boxed").label_boxes
    counts = label(pool, pipeline, settings, args.out, limit=_limit(args))
    sys.stdout.write(json.dumps(dataclasses.asdict(counts)) + "\n")
    return 0


def run_taught(args: argparse.Namespace) -> int:
    """Write samples; print how many."""
    pool, pipeline = _open(args)
    taught: Any = import_module("qzoom.labels.taught")
    looks = taught.TaughtLooks(
        args.crops, args.grown, args.full, args.full_cells, args.longest, args.seed
    )
    counts = taught.write_taught(pool, pipeline, looks, args.out, _limit(args))
    sys.stdout.write(json.dumps(dataclasses.asdict(counts)) + "\n")
    return 0


def _add_known_options(parser: argparse.ArgumentParser, out: str) -> None:
    add_record_options(parser, out)
    parser.add_argument(
        "--model", metavar="NAME", help="whose cells and budget (default: embedded)"
    )
    parser.add_argument(
        "--most-bad", type=share, default=0.05, metavar="SHARE", help="of bad pictures"
    )


def _limit(args: argparse.Namespace) -> Any:
    return import_module("qzoom.labels.failures").FailureLimit(args.most_bad)


def _open(args: argparse.Namespace) -> tuple[Any, Any]:
    hush_libraries()
    return open_pool(args, answered=False), import_module("qzoom.loading").load(args.model).pipeline
