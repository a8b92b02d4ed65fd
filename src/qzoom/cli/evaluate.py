"""`qzoom eval`: how often a model is right, and what it spends."""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qzoom.cli.arguments import positive_int
from qzoom.cli.quiet import hush_libraries

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser


def add_parser(verbs: argparse._SubParsersAction[Parser]) -> None:
    """Add the verb with its sub-verbs."""
    text = "measure a model"
    parser = verbs.add_parser("eval", help=text, description=text.capitalize() + ".")
    kinds = parser.add_subparsers(title="on what", metavar="WHAT", dest="what", required=True)
    text = "exact match on procedural scenes never trained on, directly and zoomed"
    world = kinds.add_parser("world", help=text, description=text.capitalize() + ".")
    world.add_argument("--model", metavar="NAME", help="folder or hub id (default: embedded)")
    world.add_argument("--adapter", metavar="DIR", help="zoom branches in place of its own")
    world.add_argument("--scenes", type=positive_int, default=200, metavar="N", help="default: 200")
    world.add_argument(
        "--split",
        choices=("heldout", "train"),
        default="heldout",
        help="faces: the one kept out of training, or the trained ones (default: heldout)",
    )
    world.add_argument("--seeds", default="eval", metavar="NAME", help="names the scenes' seeds")
    world.add_argument("--threads", type=positive_int, metavar="N", help="threads of torch")
    world.add_argument("--out", type=Path, metavar="FILE", help="also write the report here")
    world.add_argument("--json", action="store_true", help="print the report as JSON")
    world.set_defaults(run=run_world)


def run_world(args: argparse.Namespace) -> int:
    """Evaluate and print a table, or the whole report as JSON."""
    hush_libraries()
    torch: Any = import_module("torch")
    if args.threads:
        torch.set_num_threads(args.threads)
    load = import_module("qzoom.loading").load
    evaluate = import_module("qzoom.eval.world").evaluate_world
    model = load(args.model, adapter=args.adapter)
    report = {
        "command": f"qzoom eval world --scenes {args.scenes} --split {args.split}",
        "model": model.name,
        **({"adapter": str(args.adapter)} if args.adapter else {}),
        "dtype": str(model.dtype),
        "attention": model.parts.backbone.attn_implementation,
        "seeds": args.seeds,
        "looks": evaluate(model, args.scenes, args.split, name=args.seeds),
    }
    text = json.dumps(report, indent=2)
    if args.out:
        args.out.write_text(text + "\n")
    sys.stdout.write(text + "\n" if args.json else _table(report["looks"]))
    return 0


def _table(looks: dict[str, dict[str, Any]]) -> str:
    lines = [f"{'look':<14} {'exact':>6}  {'95 %':<13} {'tokens':>6} {'zoomed':>6}"]
    for look, row in looks.items():
        low, high = row["interval_95"]
        lines.append(
            f"{look:<14} {row['exact_match']:>6.3f}  {low:.3f}-{high:.3f}   "
            f"{row['mean_visual_tokens']:>6.0f} {row['zoomed']:>6.2f}"
        )
    return "\n".join(lines) + "\n"
