"""`qzoom label relabel`: another rule over the attention of labels made before."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qzoom.cli.arguments import existing_file
from qzoom.cli.quiet import hush_libraries

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser


def add_parser(kinds: argparse._SubParsersAction[Parser]) -> None:
    """Add the sub-verb."""
    text = "apply a rule to the attention that 'label region' or 'data unpickle' stored"
    parser = kinds.add_parser("relabel", help=text, description=text.capitalize() + ".")
    parser.add_argument("labels", type=Path, metavar="LABELS", help="a folder of label shards")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="image root, where rows tell no picture's size"
    )
    parser.add_argument(
        "--settings", type=existing_file, metavar="FILE", help="its rule is applied, in YAML"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the new labels and print how many teach."""
    hush_libraries()
    module = import_module("qzoom.labels.relabel")
    settings: Any = import_module("qzoom.labels.region_settings").RegionLabelSettings()
    if args.settings:
        read = import_module("qzoom.settings").read_settings_file
        settings = read(args.settings, type(settings), "label settings")
    folder = import_module("qzoom.data.images").ImageFolder
    images = folder(args.images) if args.images else None
    counts = module.relabel(args.labels, args.out, settings.rule, images)
    sys.stdout.write(json.dumps(dataclasses.asdict(counts)) + "\n")
    return 0
