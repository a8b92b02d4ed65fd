"""`qzoom eval run` and `qzoom eval synth`: a benchmark answered by a method, row by row."""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from qzoom.cli.arguments import UsageError, count, positive_int
from qzoom.cli.method_options import add_method_options, load_method

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser

SCORINGS: Final = ("lmms-eval", "vlmevalkit", "strict")


def add_run(kinds: argparse._SubParsersAction[Parser]) -> None:
    """Add both sub-verbs."""
    text = "a published benchmark from its official files, by qzoom or a rival"
    run = kinds.add_parser("run", help=text, description=text.capitalize() + ".")
    run.add_argument("benchmark", metavar="BENCHMARK", help="such as docvqa; 'list' names all")
    run.add_argument("--data", type=Path, metavar="PATH", help="files (default: the hub's cache)")
    _add_options(run)
    run.set_defaults(run=run_benchmark)
    text = "procedural questions, without any file, by qzoom or a rival"
    synth = kinds.add_parser("synth", help=text, description=text.capitalize() + ".")
    add_synth_options(synth)
    _add_options(synth)
    synth.set_defaults(run=run_synth)


def run_benchmark(args: argparse.Namespace) -> int:
    """Answer a benchmark's samples and print what they come to."""
    registry = import_module("qzoom.eval.benchmarks.registry")
    if args.benchmark == "list":
        print("\n".join(registry.names()))
        return 0
    benchmark = registry.benchmark_of(args.benchmark)
    data = import_module("qzoom.eval.benchmarks.locate").data_of(benchmark, args.data)
    return _run(args, benchmark, data)


def run_synth(args: argparse.Namespace) -> int:
    """Answer procedural questions and print what they come to."""
    made = import_module("qzoom.eval.benchmarks.synth").synth_benchmark
    return _run(args, made(args.scenes, args.seeds, args.split), Path())


def add_synth_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which procedural questions are asked."""
    parser.add_argument(
        "--scenes", type=positive_int, default=200, metavar="N", help="default: 200"
    )
    parser.add_argument("--seeds", default="eval", metavar="NAME", help="names the scenes' seeds")
    parser.add_argument("--split", choices=("heldout", "train"), default="heldout", help="faces")


def add_asking_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how samples are asked and scored."""
    parser.add_argument("--limit", type=positive_int, metavar="N", help="only the first N samples")
    parser.add_argument(
        "--scoring", choices=SCORINGS, default="lmms-eval", help="default: lmms-eval"
    )
    parser.add_argument(
        "--max-bad", type=count, default=0, metavar="N", help="unusable pictures (default: 0)"
    )
    parser.add_argument(
        "--repeats", type=positive_int, default=1, metavar="N",
        help="ask each sample so often and keep the median's times (default: 1)",
    )  # fmt: skip


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="FILE", help="rows, as JSONL")
    parser.add_argument(
        "--reuse", action="store_true", help="keep a picture open for the questions that follow"
    )
    add_asking_options(parser)
    add_method_options(parser)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def _run(args: argparse.Namespace, benchmark: Any, data: Path) -> int:
    if args.out is None:  # 'list' needs none
        raise UsageError("--out is missing; name the file of the rows")
    runner: Any = import_module("qzoom.eval.runner")
    method, run = load_method(args)
    plan = runner.RunPlan(args.scoring, args.limit, args.reuse, args.max_bad, args.repeats)
    say = _watch(f"{benchmark.name}, {method.name}")
    report = runner.run_benchmark(benchmark, data, method, args.out, plan, run, say)
    for bad in report.bad:
        print(f"left out: {bad}", file=sys.stderr)
    found = import_module("qzoom.eval.rows").read_results(args.out)
    rows = [row for row in found if row.sample in report.asked]
    summary = import_module("qzoom.eval.summary").summarize(benchmark, rows, args.scoring)
    print(json.dumps(summary, indent=2) if args.json else _text(summary))
    return 0


def _watch(name: str) -> Any:
    progress = import_module("qzoom.progress").Pulse(
        name, lambda line: print(line, file=sys.stderr)
    )
    return lambda report: progress.update(report.known + report.answered)


def _text(summary: dict[str, Any]) -> str:
    lines = [f"{summary['benchmark']}, {summary['method']}, scored as {summary['scoring']}"]
    lines += [f"  {name:<24} {value:>8.4f}" for name, value in summary["scores"].items()]
    if (mean := summary["mean_score"]) is not None:
        low, high = mean["interval_95"]
        lines.append(f"  mean score {mean['mean']:.4f}, 95 % {low:.4f} to {high:.4f}")
    lines.append(
        f"  {summary['samples']} samples, {summary['visual_tokens']:.0f} visual tokens, "
        f"{summary['zoomed']:.0%} zoomed, {summary['samples_per_s']} per second"
    )
    return "\n".join(lines)
