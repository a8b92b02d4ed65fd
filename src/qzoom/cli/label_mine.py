"""`qzoom label mine`: questions that a crop spoils, judged from two files of answers."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qzoom.cli.arguments import UsageError, count, existing_file, positive_int, share
from qzoom.cli.data_options import add_record_options, open_pool, say
from qzoom.cli.quiet import hush_libraries

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser

# Options that mean something to some judges only, and to which.
_OPTIONS_OF = {
    "judge_model": ("local", "URL"),
    "judge_cache": ("local", "URL"),
    "swap": ("local", "URL"),
    "api_key_env": ("URL",),
    "concurrency": ("URL",),
    "device": ("local",),
    "dtype": ("local",),
}


def add_mine(kinds: argparse._SubParsersAction[Parser]) -> None:
    """Add the sub-verb."""
    text = "samples for 'qzoom train sft': questions that a crop spoils"
    parser = kinds.add_parser("mine", help=text, description=text.capitalize() + ".")
    add_record_options(parser, "JSONL of samples")
    parser.add_argument(
        "--base", type=existing_file, required=True, metavar="FILE", help="answers without a crop"
    )
    parser.add_argument(
        "--roi", type=existing_file, required=True, metavar="FILE", help="answers with one"
    )
    parser.add_argument(
        "--target",
        choices=("answer", "ground_truth"),
        default="answer",
        help="what is learnt: the answer that was right (default), or the record's first",
    )
    parser.add_argument(
        "--improvements",
        type=_ratio,
        default=0.0,
        metavar="R",
        help="questions that the crop mends, at most so many for each spoilt one (default: 0)",
    )
    parser.add_argument(
        "--misses",
        type=_ratio,
        default=0.0,
        metavar="R",
        help="questions that both answers get wrong, at most so many for each (default: 0)",
    )
    parser.add_argument("--seed", type=count, default=0, metavar="N", help="chooses among those")
    _add_judge_options(parser)
    parser.set_defaults(run=run_mine)


def run_mine(args: argparse.Namespace) -> int:
    """Judge, write the samples, and print the summary as JSON."""
    kind = _kind(args)
    _check(args, kind)
    mining, judging = _module("labels.mining"), _module("labels.judging")
    settings = mining.MiningSettings(
        args.target, args.improvements, args.misses, args.seed, args.batch_size
    )
    pool = open_pool(args)
    limit = _module("labels.failures").FailureLimit(args.most_bad)
    with _judge(args, kind) as judge:
        counted = judging.CountedJudge(_module("labels.judge_watch").Watched(judge, say), limit)
        summary = mining.mine(pool, args.base, args.roi, counted, args.out, settings)
    sys.stdout.write(json.dumps(summary) + "\n")
    return 0


def _add_judge_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("judge")
    group.add_argument(
        "--judge",
        required=True,
        metavar="KIND",
        help="match: as whole words; local: a model here; or an OpenAI-compatible URL",
    )
    group.add_argument(
        "--judge-model", metavar="NAME", help="folder or hub id, or the endpoint's name for it"
    )
    group.add_argument(
        "--judge-cache", type=Path, metavar="FILE", help="replies: nothing in it is asked again"
    )
    group.add_argument(
        "--swap", action="store_true", help="ask both ways round, and decide where both agree"
    )
    group.add_argument(
        "--api-key-env", metavar="VAR", help="environment variable that holds the endpoint's key"
    )
    group.add_argument("--concurrency", type=positive_int, metavar="N", help="requests at a time")
    group.add_argument("--batch-size", type=positive_int, default=32, metavar="N")
    group.add_argument(
        "--most-bad", type=share, default=0.05, metavar="SHARE", help="of requests that fail"
    )
    group.add_argument("--device", metavar="NAME", help="of a local judge, such as cuda")
    group.add_argument("--dtype", metavar="NAME", help="of a local judge, such as bfloat16")


def _kind(args: argparse.Namespace) -> str:
    if args.judge in ("match", "local"):
        return str(args.judge)
    if args.judge.startswith(("http://", "https://")):
        return "URL"
    raise UsageError(f"--judge is {args.judge!r}; use match, local, or a URL of http or https")


def _check(args: argparse.Namespace, kind: str) -> None:
    for name, kinds in _OPTIONS_OF.items():
        if getattr(args, name) and kind not in kinds:
            option = "--" + name.replace("_", "-")
            raise UsageError(f"{option} has no effect with --judge {args.judge}; drop one of them")
    if kind != "match" and not args.judge_model:
        raise UsageError(f"--judge {args.judge} needs --judge-model; name the model that judges")
    for name in ("base", "roi"):
        if getattr(args, name).resolve() == args.out.resolve():
            raise UsageError(f"--out is the file of --{name}; name another")


@contextmanager
def _judge(args: argparse.Namespace, kind: str) -> Iterator[Any]:
    if kind == "match":
        yield _module("labels.judge_match").MatchJudge()
        return
    replier = _local(args) if kind == "local" else _remote(args)
    text_judge = _module("labels.judging").TextJudge
    if args.judge_cache is None:
        yield text_judge(replier, swap=args.swap)
        return
    with _module("labels.judge_cache").JudgeCache(args.judge_cache) as cache:
        yield text_judge(replier, cache, swap=args.swap)


def _local(args: argparse.Namespace) -> Any:
    hush_libraries()
    model = _module("loading").load(args.judge_model, device=args.device, dtype=args.dtype)
    return _module("labels.judge_local").model_replier(model)


def _remote(args: argparse.Namespace) -> Any:
    http = _module("labels.judge_http")
    more = {} if args.concurrency is None else {"concurrency": args.concurrency}
    return http.HttpReplier(
        http.HttpJudgeSettings(
            args.judge, args.judge_model, api_key_env=args.api_key_env or None, **more
        )
    )


def _ratio(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"must be a number of at least 0, got {text!r}")
    return value


def _module(name: str) -> Any:
    return import_module(f"qzoom.{name}")
