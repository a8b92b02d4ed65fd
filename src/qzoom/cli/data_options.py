"""Options of the verbs that put the questions of records to a model."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qzoom.cli.arguments import existing_file, positive_int, share

if TYPE_CHECKING:
    from qzoom.labels.answers import AnswerRun
    from qzoom.labels.pool import QuestionPool
    from qzoom.zoom.model import ZoomModel


def add_record_options(parser: argparse.ArgumentParser, out: str | None = None) -> None:
    """Records, their pictures, and where results go.

    Args:
        out: Help of `--out`.
    """
    parser.add_argument("records", type=existing_file, metavar="RECORDS", help="a JSONL file")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="image root")
    parser.add_argument("--out", type=Path, required=True, metavar="PATH", help=out)


def add_data_options(parser: argparse.ArgumentParser, out: str | None = None) -> None:
    """Records, their pictures, where results go, and the model."""
    add_record_options(parser, out)
    parser.add_argument("--model", metavar="NAME", help="folder or hub id (default: embedded)")
    parser.add_argument("--device", metavar="NAME", help="such as cuda (default: cpu)")
    parser.add_argument("--dtype", metavar="NAME", help="such as bfloat16 (default: the model's)")


def add_answer_options(parser: argparse.ArgumentParser) -> None:
    """How the questions of records with known answers are asked and judged."""
    parser.add_argument(
        "--rule",
        choices=("strict", "reference"),
        default="strict",
        help="when an answer is right: as whole words (default), or as the published labels do",
    )
    parser.add_argument(
        "--max-cells", type=positive_int, metavar="N", help="of the coarse look (default: its own)"
    )
    add_asking_options(parser)


def add_asking_options(parser: argparse.ArgumentParser) -> None:
    """Whom to ask, how many at a time, and how many may fail."""
    parser.add_argument("--adapter", metavar="DIR", help="zoom branches in place of its own")
    parser.add_argument("--batch-size", type=positive_int, default=8, metavar="N")
    parser.add_argument("--max-new-tokens", type=positive_int, default=32, metavar="N")
    parser.add_argument("--limit", type=positive_int, metavar="N", help="the first N questions")
    parser.add_argument(
        "--most-bad", type=share, default=0.05, metavar="SHARE", help="of unusable questions"
    )


def open_pool(args: argparse.Namespace, *, answered: bool = True) -> QuestionPool:
    """The questions, the first `--limit` of them where there is that option.

    Args:
        answered: Those with known answers only.
    """
    records: Any = import_module("qzoom.data.jsonl").RecordFile(args.records)
    folder: Any = import_module("qzoom.data.images").ImageFolder(args.images)
    pool: QuestionPool = import_module("qzoom.labels.pool").QuestionPool(
        records, folder, answered=answered, limit=getattr(args, "limit", None)
    )
    return pool


def open_model(args: argparse.Namespace) -> ZoomModel:
    """The model under the budget of the coarse look."""
    model: ZoomModel = import_module("qzoom.loading").load(
        args.model, adapter=args.adapter, device=args.device, dtype=args.dtype
    )
    return model if args.max_cells is None else model.with_budget(max_cells=args.max_cells)


def answer_run(args: argparse.Namespace) -> AnswerRun:
    """Batches and limits."""
    limit: Any = import_module("qzoom.labels.failures").FailureLimit(args.most_bad)
    run: AnswerRun = import_module("qzoom.labels.answers").AnswerRun(args.batch_size, limit=limit)
    return run


def say(line: str) -> None:
    """A line of progress."""
    sys.stderr.write(f"{line}\n")
