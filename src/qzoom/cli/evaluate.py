"""`qzoom eval`: how often a model is right, and what it spends."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import TYPE_CHECKING

from qzoom.cli.arguments import positive_int
from qzoom.cli.evaluate_compare import add_compare
from qzoom.cli.evaluate_pareto import add_pareto
from qzoom.cli.evaluate_records import add_records
from qzoom.cli.evaluate_rerun import add_rerun
from qzoom.cli.evaluate_run import add_run
from qzoom.cli.evaluate_score import add_score
from qzoom.cli.evaluate_table import add_table
from qzoom.cli.evaluation import add_model_options, described, load_model, write_report

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser


def add_parser(verbs: argparse._SubParsersAction[Parser]) -> None:
    """Add the verb with its sub-verbs."""
    text = "measure a model"
    parser = verbs.add_parser("eval", help=text, description=text.capitalize() + ".")
    kinds = parser.add_subparsers(title="on what", metavar="WHAT", dest="what", required=True)
    _add_world(kinds)
    add_records(kinds)
    add_run(kinds)
    for add in (add_compare, add_table, add_score, add_rerun, add_pareto):
        add(kinds)


def _add_world(kinds: argparse._SubParsersAction[Parser]) -> None:
    text = "exact match on procedural scenes never trained on, directly and zoomed"
    world = kinds.add_parser("world", help=text, description=text.capitalize() + ".")
    add_model_options(world)
    world.add_argument("--scenes", type=positive_int, default=200, metavar="N", help="default: 200")
    world.add_argument(
        "--split",
        choices=("heldout", "train"),
        default="heldout",
        help="faces: the one kept out of training, or the trained ones (default: heldout)",
    )
    world.add_argument("--seeds", default="eval", metavar="NAME", help="names the scenes' seeds")
    world.set_defaults(run=run_world)


def run_world(args: argparse.Namespace) -> int:
    """Evaluate and print a table, or the whole report as JSON."""
    model = load_model(args)
    evaluate = import_module("qzoom.eval.world").evaluate_world
    report = {
        "command": f"qzoom eval world --scenes {args.scenes} --split {args.split}",
        **described(model, args),
        "seeds": args.seeds,
        "looks": evaluate(model, args.scenes, args.split, name=args.seeds),
    }
    write_report(report, args)
    return 0
