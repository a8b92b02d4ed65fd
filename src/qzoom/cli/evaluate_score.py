"""`qzoom eval score`: stored predictions under another scoring."""

from __future__ import annotations

import argparse
import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qzoom.cli.arguments import existing_file
from qzoom.cli.evaluate_run import SCORINGS

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser


def add_score(kinds: argparse._SubParsersAction[Parser]) -> None:
    """Add the sub-verb."""
    text = "stored predictions scored again, without a model"
    parser = kinds.add_parser("score", help=text, description=text.capitalize() + ".")
    parser.add_argument("rows", type=existing_file, metavar="ROWS", help="rows of 'qzoom eval run'")
    parser.add_argument("--scoring", choices=SCORINGS, required=True, help="whose metric")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the rows so scored")
    parser.add_argument("--json", action="store_true", help="print both summaries as JSON")
    parser.set_defaults(run=run_score)


def run_score(args: argparse.Namespace) -> int:
    """Print what the rows come to before and after."""
    results: Any = import_module("qzoom.eval.rows")
    rescore: Any = import_module("qzoom.eval.rescore")
    before = results.rows_of_one_benchmark(args.rows)
    benchmark = import_module("qzoom.eval.benchmarks.registry").benchmark_of(before[0].benchmark)
    after = [rescore.rescored(row, benchmark, args.scoring) for row in before]
    if args.out:
        rescore.save_rescored(after, args.rows, args.out)
    summarize: Any = import_module("qzoom.eval.summary").summarize
    summaries = [summarize(benchmark, rows, rows[0].scoring) for rows in (before, after)]
    changed = sum(one.score != other.score for one, other in zip(before, after, strict=True))
    found = {"before": summaries[0], "after": summaries[1], "changed": changed}
    print(json.dumps(found, indent=2) if args.json else _text(found))
    return 0


def _text(found: dict[str, Any]) -> str:
    before, after = found["before"], found["after"]
    lines = [
        f"{before['benchmark']}, {before['method']}, {before['samples']} samples; "
        f"the score of {found['changed']} changes",
        f"  {'':<24} {before['scoring']:>10} {after['scoring']:>10}",
    ]
    for name in dict.fromkeys([*before["scores"], *after["scores"]]):
        pair = [scores.get(name) for scores in (before["scores"], after["scores"])]
        cells = " ".join(f"{'':>10}" if value is None else f"{value:>10.4f}" for value in pair)
        lines.append(f"  {name:<24} {cells}")
    return "\n".join(lines)
