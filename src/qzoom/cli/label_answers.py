"""`qzoom label answers`: a model's answers to the questions of records, one look each."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from importlib import import_module
from typing import TYPE_CHECKING, Any

from qzoom.cli.arguments import UsageError, positive_int, share
from qzoom.cli.data_options import add_asking_options, add_data_options, answer_run, open_pool, say
from qzoom.cli.quiet import hush_libraries

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser

LOOKS = ("direct", "zoom", "auto")


def add_answers(kinds: argparse._SubParsersAction[Parser]) -> None:
    """Add the sub-verb."""
    text = "a model's answers to the questions of records"
    parser = kinds.add_parser("answers", help=text, description=text.capitalize() + ".")
    add_data_options(parser, out="JSONL, made or gone on with")
    _add_look_options(parser)
    add_asking_options(parser)
    parser.set_defaults(run=run_answers)


def run_answers(args: argparse.Namespace) -> int:
    """Answer what the file does not answer yet, and print the counts."""
    _check(args)
    run, pool = answer_run(args), open_pool(args, answered=False)
    watch = _module("labels.answer_files").watch("answers", pool.count(), say)
    answer_pool = _module("labels.answers").answer_pool
    report = answer_pool(pool, _answerer(args), args.out, run, watch)
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


def _module(name: str) -> Any:
    return import_module(f"qzoom.{name}")
