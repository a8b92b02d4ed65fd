"""`qzoom eval run` and `qzoom eval synth`: a benchmark answered by a method, row by row."""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from qzoom.cli.arguments import UsageError, count, positive_int, share
from qzoom.cli.quiet import hush_libraries

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser

SCORINGS: Final = ("lmms-eval", "vlmevalkit", "strict")
OF_A_MODEL: Final = (
    *("model", "adapter", "min_cells", "max_cells"),
    *("device", "dtype", "attn", "threads"),
)


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
    synth.add_argument("--scenes", type=positive_int, default=200, metavar="N", help="default: 200")
    synth.add_argument("--seeds", default="eval", metavar="NAME", help="names the scenes' seeds")
    synth.add_argument("--split", choices=("heldout", "train"), default="heldout", help="faces")
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


def load_method(args: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """The method that the options ask for, and what its rows say about the run."""
    hush_libraries()
    registry: Any = import_module("qzoom.eval.methods.registry")
    options = registry.MethodOptions(
        args.gate_threshold, args.roi_threshold, args.seed, _named(args.set)
    )
    machine: Any = import_module("qzoom.eval.machine")
    if args.method in registry.ALONE:
        _refuse_model_options(args)
        return registry.method_alone(args.method, options), machine.run_elsewhere(args.seed)
    torch: Any = import_module("torch")
    if args.threads:
        torch.set_num_threads(args.threads)
    load: Any = import_module("qzoom.loading").load
    model = load(
        args.model,
        adapter=args.adapter,
        dtype=args.dtype,
        device=args.device,
        attn_implementation=args.attn,
    )
    if args.min_cells or args.max_cells:
        model = model.with_budget(min_cells=args.min_cells, max_cells=args.max_cells)
    method = registry.method_of(args.method, model, options)
    return method, machine.run_of(model, args.seed)


def add_method_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say who answers, and how."""
    parser.add_argument("--method", default="zoom", metavar="NAME", help="default: zoom")
    parser.add_argument("--model", metavar="NAME", help="folder or hub id (default: embedded)")
    parser.add_argument("--adapter", metavar="DIR", help="zoom branches in place of its own")
    parser.add_argument("--min-cells", type=positive_int, metavar="N", help="visual tokens, least")
    parser.add_argument("--max-cells", type=positive_int, metavar="N", help="visual tokens, most")
    parser.add_argument("--gate-threshold", type=share, metavar="P", help="zoom from here on")
    parser.add_argument("--roi-threshold", type=share, metavar="P", help="cells above are region")
    parser.add_argument("--device", metavar="NAME", help="such as cuda (default: the model's)")
    parser.add_argument("--dtype", metavar="NAME", help="such as bfloat16")
    parser.add_argument("--attn", metavar="NAME", help="attention kernel: sdpa or eager")
    parser.add_argument("--threads", type=positive_int, metavar="N", help="threads of torch")
    parser.add_argument("--seed", type=count, default=0, metavar="N", help="of methods that draw")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="setting of the method's own, the value as JSON or text; can be given again",
    )


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="rows, as JSONL")
    parser.add_argument("--limit", type=positive_int, metavar="N", help="only the first N samples")
    parser.add_argument(
        "--scoring", choices=SCORINGS, default="lmms-eval", help="default: lmms-eval"
    )
    parser.add_argument(
        "--reuse", action="store_true", help="keep a picture open for the questions that follow"
    )
    parser.add_argument(
        "--max-bad", type=count, default=0, metavar="N", help="unusable pictures (default: 0)"
    )
    add_method_options(parser)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def _run(args: argparse.Namespace, benchmark: Any, data: Path) -> int:
    runner: Any = import_module("qzoom.eval.runner")
    method, run = load_method(args)
    plan = runner.RunPlan(args.scoring, args.limit, args.reuse, args.max_bad)
    say = _watch(f"{benchmark.name}, {method.name}")
    report = runner.run_benchmark(benchmark, data, method, args.out, plan, run, say)
    for bad in report.bad:
        print(f"left out: {bad}", file=sys.stderr)
    rows = list(import_module("qzoom.eval.rows").read_results(args.out))
    summary = import_module("qzoom.eval.summary").summarize(benchmark, rows, args.scoring)
    print(json.dumps(summary, indent=2) if args.json else _text(summary))
    return 0


def _named(settings: list[str]) -> dict[str, Any]:
    """What --set gives: values are JSON, or text where they are not."""
    found: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not (name and equals):
            raise UsageError(f"--set {setting!r} is not NAME=VALUE")
        if name in found:
            raise UsageError(f"--set {name} is given twice; give it once")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def _refuse_model_options(args: argparse.Namespace) -> None:
    for name in OF_A_MODEL:
        if getattr(args, name) is not None:
            option = "--" + name.replace("_", "-")
            raise UsageError(
                f"{option} has no effect with --method {args.method}, which loads none"
            )


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
