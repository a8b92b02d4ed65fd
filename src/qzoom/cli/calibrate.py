"""`qzoom calibrate`: levels of effort for a model, from held-out questions."""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from qzoom.cli.arguments import check_folder, positive_int
from qzoom.cli.data_options import (
    add_answer_options,
    add_data_options,
    answer_run,
    open_model,
    open_pool,
    say,
)
from qzoom.cli.quiet import hush_libraries

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser
    from qzoom.labels.calibration_report import CalibrationReport


def add_parser(verbs: argparse._SubParsersAction[Parser]) -> None:
    """Add the verb."""
    text = "choose when to look closer at low, medium and high effort, on held-out questions"
    parser = verbs.add_parser("calibrate", help=text, description=text.capitalize() + ".")
    add_data_options(parser)
    add_answer_options(parser)
    parser.add_argument("--bins", type=positive_int, default=15, metavar="N", help="of the diagram")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Answer, report, store the levels; print what they give. A stopped run goes on."""
    check_folder(args.out)
    hush_libraries()
    pool = open_pool(args)
    model = open_model(args)
    work: Any = import_module("qzoom.labels.calibrate")
    rules: Any = import_module("qzoom.labels.consistency").RULES
    plan = work.CalibrationPlan(
        rules[args.rule](), answer_run(args), args.max_new_tokens, args.bins
    )
    report = work.calibrate(pool, model, args.out, plan, say)
    saved = work.save_levels(model, args.model, args.adapter, report.thresholds, args.out)
    if args.json:
        sys.stdout.write(json.dumps({"saved": str(saved), **report.to_json()}) + "\n")
    else:
        sys.stdout.write(f"{_table(report)}{saved}\n")
    return 0


def _table(report: CalibrationReport) -> str:
    lines = [
        f"AUROC {report.auroc:.3f}, ECE {report.before.ece:.3f}, "
        f"{report.after.ece:.3f} at temperature {report.temperature:.2f}",
        f"{'effort':<8} {'threshold':>9} {'right':>6}  {'95 %':<13} {'zoomed':>6}",
    ]
    points = {"never": report.never, **report.levels, "always": report.always}
    for name, point in points.items():
        low, high = point.accuracy_95
        lines.append(
            f"{name:<8} {point.threshold:>9.4g} {point.accuracy:>6.3f}  {low:.3f}-{high:.3f}   "
            f"{point.zoomed:>6.2f}"
        )
    return "\n".join(lines) + "\n"
