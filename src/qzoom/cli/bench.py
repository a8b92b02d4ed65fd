"""`qzoom bench`: speed against plain transformers, on random weights of real shapes."""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qzoom.cli import bench_serve
from qzoom.cli.arguments import UsageError, count, positive_int, share
from qzoom.cli.quiet import hush_libraries

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser


def add_parser(verbs: argparse._SubParsersAction[Parser]) -> None:
    """Add the verb."""
    text = "time the engine against plain transformers on random weights; nothing is downloaded"
    bench = verbs.add_parser("bench", help=text, description=text.capitalize() + ".")
    bench.add_argument("--shape", default="mid", metavar="NAME", help="such as qwen2.5-vl-7b, "
                       "qwen3-vl-4b, mid, tiny (default: mid, 0.5 B parameters)")  # fmt: skip
    bench.add_argument("--budgets", type=positive_int, nargs="+", default=[576], metavar="N",
                       help="cells of the picture at most (default: 576)")  # fmt: skip
    bench.add_argument("--roi-cells", type=positive_int, nargs="+", default=[400, 160],
                       metavar="N", help="cells of a crop (default: 400 160)")  # fmt: skip
    bench.add_argument("--fire-rates", type=share, nargs="+", default=[0.35], metavar="P",
                       help="share of questions that zoom (default: 0.35)")  # fmt: skip
    bench.add_argument("--batches", type=positive_int, nargs="+", default=[1], metavar="N",
                       help="questions at once (default: 1)")  # fmt: skip
    bench.add_argument("--questions", type=positive_int, nargs="+", default=[1, 4],
                       metavar="N", help="questions about a picture (default: 1 4)")  # fmt: skip
    bench.add_argument("--new-tokens", type=positive_int, default=8, metavar="N")
    bench.add_argument("--repeats", type=positive_int, default=3, metavar="N", help="turns")
    bench.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: of the "
                       "process alone, where other programs run beside")  # fmt: skip
    bench.add_argument("--device", default="cpu", metavar="NAME", help="such as cuda")
    bench.add_argument("--dtype", default="float32", metavar="NAME", help="such as bfloat16")
    bench.add_argument("--attn", default="sdpa", metavar="NAME", help="attention kernel")
    bench.add_argument("--threads", type=positive_int, metavar="N", help="threads of torch")
    bench.add_argument("--seed", type=count, default=0, metavar="N")
    bench.add_argument("--out", type=Path, metavar="FILE", help="write the report as JSON, and a "
                       "plot beside it")  # fmt: skip
    bench.add_argument("--json", action="store_true", help="print the report as JSON")
    bench.set_defaults(run=run)
    bench_serve.add_parser(bench.add_subparsers(title="load", metavar="[serve]"))


def run(args: argparse.Namespace) -> int:
    """Measure, print a table and write what was asked for."""
    if args.out and args.out.suffix != ".json":
        raise UsageError(f"--out {args.out} must end in .json; the plot is named after it")
    hush_libraries()
    torch: Any = import_module("torch")
    if args.threads:
        torch.set_num_threads(args.threads)
    plan = import_module("qzoom.bench.measure").BenchPlan(
        tuple(args.budgets), tuple(args.roi_cells), tuple(args.batches), tuple(args.fire_rates),
        tuple(args.questions), args.new_tokens, args.repeats, args.clock,
    )  # fmt: skip
    report = import_module("qzoom.bench.report").run_bench(
        args.shape, plan, dtype=args.dtype, device=args.device, attn=args.attn, seed=args.seed,
        say=lambda line: print(line, file=sys.stderr),
    )  # fmt: skip
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        import_module("qzoom.bench.plot").plot_report(report, args.out.with_suffix(".png"))
    table = import_module("qzoom.bench.table").table_of
    print(json.dumps(report, indent=2) if args.json else table(report))
    return 0
