"""`qzoom reproduce`: all stages and ablations on procedural data, with their tables."""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qzoom.cli.arguments import check_folder, existing_file, positive_int
from qzoom.cli.environment import torch_facts, versions
from qzoom.cli.quiet import hush_libraries

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser

PARTS = ("stages", "boxes", "depth", "rules", "gates")


def add_parser(verbs: argparse._SubParsersAction[Parser]) -> None:
    """Add the verb with its sub-verbs."""
    text = "train through every stage and write the tables of the paper"
    parser = verbs.add_parser("reproduce", help=text, description=text.capitalize() + ".")
    kinds = parser.add_subparsers(title="what", metavar="WHAT", dest="what", required=True)
    text = "the embedded trunk on procedural scenes: hours on two cores; stop and go on at will"
    tiny = kinds.add_parser("tiny", help=text, description=text.capitalize() + ".")
    tiny.add_argument("--out", type=Path, required=True, metavar="DIR", help="everything it makes")
    tiny.add_argument(
        "--recipe",
        type=existing_file,
        metavar="PATH",
        help="settings in YAML, such as recipes/reproduce_tiny.yaml (default: the paper's)",
    )
    tiny.add_argument(
        "--part", choices=PARTS, help="one table alone; several processes may share the folder"
    )
    tiny.add_argument(
        "--trunk",
        metavar="NAME",
        help="model to start from, without its branches (default: embedded)",
    )
    tiny.add_argument("--threads", type=positive_int, metavar="N", help="threads of torch")
    tiny.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run what is not done yet and print the file of results, or one part's JSON."""
    check_folder(args.out)
    hush_libraries()
    if args.threads:
        torch: Any = import_module("torch")
        torch.set_num_threads(args.threads)
    kind = import_module("qzoom.reproduce.settings").ReproduceSettings
    settings = kind()
    if args.recipe:
        settings = import_module("qzoom.settings").read_settings_file(args.recipe, kind, "recipe")
    work = import_module("qzoom.reproduce.run").Reproduction(args.out, settings, args.trunk)
    if args.part:
        sys.stdout.write(json.dumps(work.part(args.part), indent=2) + "\n")
        return 0
    path = work.run(_about(args))
    report = import_module("qzoom.reproduce.report")
    sys.stdout.write(f"{report.write_report(path)}\n")
    return 0


def _about(args: argparse.Namespace) -> dict[str, Any]:
    """The command and what it ran on."""
    recipe = f" --recipe {args.recipe.name}" if args.recipe else ""
    trunk = f" --trunk {Path(args.trunk).name}" if args.trunk else ""
    facts = torch_facts()
    return {
        "command": f"qzoom reproduce tiny --out RUN{recipe}{trunk}",
        "environment": {**versions(), "devices": facts["devices"], "threads": facts["threads"]},
        "answers": {"dtype": "float32", "attention": "sdpa", "batch_size": 1},
    }
