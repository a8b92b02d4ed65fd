"""`qzoom label answers`: a model's answers to the questions of records, one look each."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qzoom.cli.arguments import UsageError, existing_file, positive_int, share
from qzoom.cli.quiet import hush_libraries

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser
    from qzoom.labels.answers import AnswerReport

LOOKS = ("direct", "zoom", "auto")


def add_answers(kinds: argparse._SubParsersAction[Parser]) -> None:
    """Add the sub-verb."""
    text = "a model's answers to the questions of records"
    parser = kinds.add_parser("answers", help=text, description=text.capitalize() + ".")
    parser.add_argument("records", type=existing_file, metavar="RECORDS", help="a JSONL file")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="image root")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="JSONL, made or gone on with"
    )
    _add_look_options(parser)
    _add_run_options(parser)
    parser.set_defaults(run=run_answers)


def run_answers(args: argparse.Namespace) -> int:
    """Answer what the file does not answer yet, and print the counts."""
    _check(args)
    answers, failures = _module("labels.answers"), _module("labels.failures")
    run = answers.AnswerRun(args.batch_size, limit=failures.FailureLimit(args.most_bad))
    records = _module("data.jsonl").RecordFile(args.records)
    folder = _module("data.images").ImageFolder(args.images)
    pool = _module("labels.pool").QuestionPool(records, folder, limit=args.limit)
    total = pool.count()
    report = answers.answer_pool(pool, _answerer(args), args.out, run, _watch(total))
    sys.stdout.write(json.dumps(asdict(report)) + "\n")
    return 0


def _add_look_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("look")
    group.add_argument(
        "--look",
        choices=LOOKS,
        required=True,
        help="direct: no crop; zoom: always one; auto: where the gate says so",
    )
    group.add_argument(
        "--max-cells",
        type=positive_int,
        metavar="N",
        help="of a picture, and of a crop (default: the model's own)",
    )
    group.add_argument(
        "--exact", action="store_true", help="give smaller pictures that many cells too (direct)"
    )
    group.add_argument(
        "--gate-threshold",
        type=share,
        metavar="X",
        help="zoom from this gate probability on (auto; default: the model's own)",
    )


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("run")
    group.add_argument("--max-new-tokens", type=positive_int, default=32, metavar="N")
    group.add_argument("--batch-size", type=positive_int, default=8, metavar="N")
    group.add_argument(
        "--most-bad", type=share, default=0.05, metavar="SHARE", help="of unusable questions"
    )
    group.add_argument("--limit", type=positive_int, metavar="N", help="the first N questions")
    group.add_argument("--model", metavar="NAME", help="folder or hub id (default: embedded)")
    group.add_argument("--adapter", metavar="DIR", help="zoom branches in place of its own")
    group.add_argument("--device", metavar="NAME", help="such as cuda (default: cpu)")
    group.add_argument("--dtype", metavar="NAME", help="such as bfloat16 (default: the model's)")


def _check(args: argparse.Namespace) -> None:
    if args.gate_threshold is not None and args.look != "auto":
        raise UsageError(f"--gate-threshold has no effect with --look {args.look}; drop one")
    if args.exact and args.look != "direct":
        raise UsageError(f"--exact has no effect with --look {args.look}; drop one")
    if args.exact and args.max_cells is None:
        raise UsageError("--exact needs --max-cells; give how many")
    if args.out.is_dir():
        raise UsageError(f"--out {args.out} is a folder; name a file")


def _answerer(args: argparse.Namespace) -> Any:
    hush_libraries()
    model = _module("loading").load(
        args.model, adapter=args.adapter, device=args.device, dtype=args.dtype
    )
    answerers = _module("labels.answerers")
    tokens = args.max_new_tokens
    if args.look == "direct":
        return answerers.direct_answerer(
            model, args.max_cells, exact=args.exact, max_new_tokens=tokens
        )
    return answerers.zoom_answerer(
        model,
        args.max_cells,
        ask_gate=args.look == "auto",
        gate_threshold=args.gate_threshold,
        max_new_tokens=tokens,
    )


def _watch(total: int) -> Callable[[AnswerReport], None]:
    progress = _module("progress").Progress("answers", total, _say)

    def after_batch(report: AnswerReport) -> None:
        worked = report.answered + report.failed
        note = f", {report.failed} failed" if report.failed else ""
        progress.update(report.known + worked, worked, note)

    return after_batch


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _module(name: str) -> Any:
    return import_module(f"qzoom.{name}")
