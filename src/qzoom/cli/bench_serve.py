"""`qzoom bench serve`: load on a chat endpoint, ours or any other."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qzoom.cli.arguments import UsageError, count, positive_int, share

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser

KEY_VARIABLE = "QZOOM_BENCH_KEY"

_EXAMPLES = f"""\
examples:
  qzoom bench serve --users 8 --requests 200
  qzoom bench serve --rate 5 --requests 500 --fire-rate 0.35 --out load.json

a key, where one is needed, comes from the variable {KEY_VARIABLE}
"""


def add_parser(verbs: argparse._SubParsersAction[Parser]) -> None:
    """Add the verb."""
    text = "put load on a running chat endpoint and report latency and throughput"
    parser = verbs.add_parser(
        "serve",
        help=text,
        description=text.capitalize() + ".",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--url", default="http://127.0.0.1:8000/v1", metavar="URL",
                        help="of the endpoint (default: http://127.0.0.1:8000/v1)")  # fmt: skip
    parser.add_argument("--served-name", metavar="NAME", help="model (default: the first listed)")
    parser.add_argument("--requests", type=positive_int, default=100, metavar="N")
    pace = parser.add_mutually_exclusive_group()
    pace.add_argument("--rate", type=_rate, metavar="R",
                      help="requests a second, at random times, waiting for no answer")  # fmt: skip
    pace.add_argument("--users", type=positive_int, metavar="N",
                      help="users who ask one question after another (default: 1)")  # fmt: skip
    parser.add_argument("--pictures", type=positive_int, default=16, metavar="N",
                        help="different ones (default: 16)")  # fmt: skip
    parser.add_argument("--fire-rate", type=share, metavar="P", help="share of requests that zoom "
                        "(default: the gate decides; not for other endpoints)")  # fmt: skip
    parser.add_argument("--new-tokens", type=positive_int, default=32, metavar="N",
                        help="at most (default: 32)")  # fmt: skip
    parser.add_argument("--exact", action="store_true", help="no answer ends before it has them")
    parser.add_argument("--seed", type=count, default=0, metavar="N")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the report as JSON")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Send the traffic and print what it took."""
    try:
        loads = import_module("qzoom.bench.load.run")
    except ImportError as error:
        raise UsageError(f"{error.name} is missing; pip install 'qzoom[serve]'") from None
    report = asyncio.run(_measured(args, loads))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    table = import_module("qzoom.bench.load.summary").table_of
    print(json.dumps(report) if args.json else table(report))
    return 0


async def _measured(args: argparse.Namespace, loads: Any) -> dict[str, Any]:
    traffic = import_module("qzoom.bench.load.traffic")
    summary = import_module("qzoom.bench.load.summary")
    url, key = args.url.rstrip("/"), os.environ.get(KEY_VARIABLE)
    name = args.served_name or await loads.served_name(url, key)
    mix = traffic.Traffic(
        name, args.pictures, args.fire_rate, args.new_tokens, args.exact, args.seed
    )
    bodies, users = mix.requests(), args.users or 1
    if args.rate is not None:
        times = traffic.arrivals_s(args.rate, args.requests, args.seed)
        outcomes, seconds = await loads.open_loop(url, key, bodies, times)
    else:
        outcomes, seconds = await loads.closed_loop(url, key, bodies, args.requests, users)
    pace = {"rate_per_s": args.rate} if args.rate is not None else {"users": users}
    asked = {**pace, "pictures": args.pictures, "fire_rate": args.fire_rate, "seed": args.seed}
    asked |= {"new_tokens": args.new_tokens, "exact": args.exact, "model": name}
    return {"asked": asked, **summary.summarised(outcomes, seconds)}


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no rate; give requests a second, above 0")
    return rate
