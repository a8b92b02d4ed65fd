"""`qzoom eval pareto`: methods under rising budgets, and what they save."""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from qzoom.cli.arguments import check_folder, positive_int
from qzoom.cli.evaluate_run import add_asking_options, add_synth_options
from qzoom.cli.method_options import (
    add_engine_options,
    method_over,
    open_model,
    run_of,
    under_budget,
)
from qzoom.progress import Pulse

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser

METHODS: Final = ("direct", "zoom", "always")
BUDGETS: Final = (256, 512, 1024, 2048, 4096)
EMBEDDED_BUDGETS: Final = (64, 128, 256, 512, 1024)
"""Cells of the embedded model, whose scenes hold no more."""


def add_pareto(kinds: argparse._SubParsersAction[Parser]) -> None:
    """Add the sub-verb."""
    text = "methods under rising budgets: accuracy against throughput and tokens, as a figure"
    parser = kinds.add_parser("pareto", help=text, description=text.capitalize() + ".")
    parser.add_argument(
        "benchmark", nargs="?", default="synth", metavar="BENCHMARK", help="default: synth"
    )
    parser.add_argument("--data", type=Path, metavar="PATH", help="files (default: hub's cache)")
    add_synth_options(parser)
    parser.add_argument(
        "--methods", nargs="+", metavar="NAME", help=f"default: {' '.join(METHODS)}"
    )
    parser.add_argument(
        "--budgets", nargs="+", type=positive_int, metavar="N",
        help="visual tokens, most (default: 256 to 4096; embedded model on synth: 64 to 1024)",
    )  # fmt: skip
    parser.add_argument(
        "--points", nargs="+", type=_point, default=[], metavar="METHOD@N",
        help="more points, besides all methods under all budgets",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="rows and figure")
    parser.add_argument(
        "--slice", type=positive_int, default=20, metavar="N",
        help="samples of a point before the next has its turn (default: 20)",
    )  # fmt: skip
    add_asking_options(parser)
    add_engine_options(parser)
    parser.add_argument(
        "--replot", action="store_true", help="from the rows in --out, without a model"
    )
    parser.add_argument(
        "--paper", action="store_true", help="add a panel with the ratios that the paper publishes"
    )
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    parser.set_defaults(run=run_pareto)


def run_pareto(args: argparse.Namespace) -> int:
    """Answer at every point, then write and print what they come to. A stopped run goes on."""
    check_folder(args.out)
    import_module("qzoom.plotting").require_matplotlib()
    keys = _stored(args) if args.replot else _answered(args)
    write: Any = import_module("qzoom.eval.pareto.report").write_report
    report = write(args.out, keys, paper=args.paper).to_json()
    print(json.dumps(report, indent=2) if args.json else _text(report))
    return 0


def _stored(args: argparse.Namespace) -> list[Any]:
    """Points whose rows are there, or those of them that are asked for."""
    points: Any = import_module("qzoom.eval.pareto.run").stored_points(args.out)
    order = {name: place for place, name in enumerate(args.methods or METHODS)}
    found = [
        key
        for key in points
        if (not args.methods or key.method in args.methods)
        and (not args.budgets or key.max_cells in args.budgets)
    ]
    return sorted(found, key=lambda key: (order.get(key.method, len(order)), key))


def _answered(args: argparse.Namespace) -> list[Any]:
    work: Any = import_module("qzoom.eval.pareto.run")
    benchmark, data = _benchmark(args)
    model = open_model(args)
    methods = {}
    for name, cells in _points(args):
        least = None if args.min_cells is None else min(args.min_cells, cells)
        budgeted = under_budget(args, model, least, cells)
        methods[work.PointKey(name, cells)] = method_over(args, budgeted, name)
    plan = import_module("qzoom.eval.runner").RunPlan(
        args.scoring, args.limit, False, args.max_bad, args.repeats
    )
    pulse = Pulse(f"{benchmark.name}, {len(methods)} points", _say)
    work.run_points(
        benchmark, data, methods, args.out, plan, run_of(args, model),
        slice_size=args.slice, after=pulse.update,
    )  # fmt: skip
    return list(methods)


def _points(args: argparse.Namespace) -> list[tuple[str, int]]:
    """Methods with their budgets, each once."""
    budgets = sorted(set(args.budgets or _budgets(args)))
    grid = [(name, cells) for name in args.methods or METHODS for cells in budgets]
    return list(dict.fromkeys([*grid, *args.points]))


def _point(text: str) -> tuple[str, int]:
    name, at, cells = text.partition("@")
    if not (name and at):
        raise argparse.ArgumentTypeError(f"must be METHOD@N, got {text!r}")
    return name, positive_int(cells)


def _benchmark(args: argparse.Namespace) -> tuple[Any, Path]:
    if args.benchmark == "synth":
        made: Any = import_module("qzoom.eval.benchmarks.synth").synth_benchmark
        return made(args.scenes, args.seeds, args.split), Path()
    found: Any = import_module("qzoom.eval.benchmarks.registry").benchmark_of(args.benchmark)
    return found, import_module("qzoom.eval.benchmarks.locate").data_of(found, args.data)


def _budgets(args: argparse.Namespace) -> tuple[int, ...]:
    is_embedded = args.model is None and args.benchmark == "synth"
    return EMBEDDED_BUDGETS if is_embedded else BUDGETS


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _text(report: dict[str, Any]) -> str:
    lines = [
        f"{report['benchmark']}, {report['model']}, scored as {report['scoring']}",
        f"  {'point':<16} {'score':>6}  {'95 %':<14} {'tokens':>7} {'zoomed':>6} {'per s':>8}",
    ]
    for point in report["points"]:
        name = f"{point['method']} {point['max_cells']}"
        lines.append(
            f"  {name:<16} {point['score']:>6.3f}  "
            f"{point['score_low']:.3f} to {point['score_high']:.3f} "
            f"{point['visual_tokens']:>7.0f} {point['zoomed']:>6.2f} {point['samples_per_s']:>8.2f}"
        )
    if report["left_out"]:
        lines.append(f"  {report['left_out']} samples are not scored at every point and left out")
    lines += [
        _saving(f"{found['method']} {found['max_cells']}", found) for found in report["matched"]
    ]
    for method, found in report["at_direct_peak"].items():
        lines.append(_saving(f"{method} {found['max_cells']}, at direct's best", found))
    return "\n".join(lines)


def _saving(name: str, found: dict[str, Any]) -> str:
    (low, high), saved = found["direct_cells"], found["fewer_tokens"]
    cells = f"{low} cells" if low == high else f"{low} to {high} cells"
    as_good = "" if found["reached"] else ", which is not as good"
    return (
        f"  {name}: {found['speed_up']:.2f} times the throughput of direct at {cells}{as_good}, "
        f"{abs(saved):.0%} {'fewer' if saved >= 0 else 'more'} visual tokens"
    )
