"""`qzoom serve`: an OpenAI-compatible server."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from qzoom.cli.arguments import UsageError, port_number, positive_int
from qzoom.cli.failures import FAILED
from qzoom.cli.model_options import add_model_options, load_model
from qzoom.cli.quiet import hush_libraries

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser
    from qzoom.serve.limits import Limits

KEY_VARIABLE = "QZOOM_API_KEYS"

_EXAMPLES = """\
examples:
  qzoom serve
  QZOOM_API_KEYS=$(openssl rand -hex 16) qzoom serve --host 0.0.0.0 --model ./my-model
  curl -s localhost:8000/v1/models
"""


def add_parser(verbs: argparse._SubParsersAction[Parser]) -> None:
    """Add the verb."""
    text = "answer over HTTP, as OpenAI's chat completions"
    parser = verbs.add_parser(
        "serve",
        help=text,
        description=text.capitalize() + ".",
        epilog=_EXAMPLES + f"\nkeys come from the variable {KEY_VARIABLE}, separated by commas",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address (default: 127.0.0.1)")
    parser.add_argument(
        "--port", type=port_number, default=8000, help="0 takes a free one; default 8000"
    )
    parser.add_argument("--served-name", metavar="NAME", help="what clients call the model")
    add_model_options(parser)
    _add_limits(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Load the model and answer until stopped."""
    hush_libraries()
    try:
        from qzoom.serve.server import check_keys, serve
        from qzoom.serve.state import ServerState
    except ImportError as error:
        raise UsageError(f"{error.name} is missing; pip install 'qzoom[serve]'") from None
    import torch

    keys = [key.strip() for key in os.environ.get(KEY_VARIABLE, "").split(",") if key.strip()]
    check_keys(args.host, keys)
    limits = _limits(args)
    hosts = frozenset(host.lower() for host in args.allow_image_host)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    model = load_model(args)
    model.require_tokenizer()
    name = args.served_name or os.path.basename(model.name.rstrip("/"))
    state = ServerState(model, name, limits, hosts)
    serve(state, args.host, args.port, keys, on_ready=lambda url: _greet(url, name, bool(keys)))
    if state.engine.died:
        print("qzoom: the engine died, as logged above; start the server again", file=sys.stderr)
        return FAILED
    return 0


def _greet(url: str, name: str, with_keys: bool) -> None:
    guard = f"with a key of {KEY_VARIABLE}" if with_keys else "this machine only, no key"
    print(f"{name} answers at {url}/v1 ({guard}); Ctrl-C stops", file=sys.stderr, flush=True)


def _add_limits(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("limits (docs/security.md has them all)")
    group.add_argument("--max-batch", type=positive_int, metavar="N", help="answers at once: 8")
    group.add_argument("--max-queue", type=positive_int, metavar="N", help="requests waiting: 64")
    group.add_argument("--max-new-tokens", type=positive_int, metavar="N", help="at most: 4096")
    group.add_argument(
        "--max-prompt-tokens", type=positive_int, metavar="N", help="text and images: 16384"
    )
    group.add_argument(
        "--max-slots",
        type=positive_int,
        metavar="N",
        help="answers at once, by the longest prompt and answer: 65536",
    )
    group.add_argument("--deadline", type=positive_int, metavar="S", help="seconds a request: 120")
    group.add_argument("--grace", type=positive_int, metavar="S", help="seconds to stop in: 30")
    group.add_argument("--cache-mb", type=int, metavar="MB", help="memory of known images: 512")
    group.add_argument(
        "--allow-image-host",
        action="append",
        default=[],
        metavar="HOST",
        help="fetch https image URLs of this host; may be repeated (default: none)",
    )
    group.add_argument("--threads", type=positive_int, metavar="N", help="threads of torch")


def _limits(args: argparse.Namespace) -> Limits:
    from dataclasses import replace

    from qzoom.serve.limits import MEGABYTE, Limits

    given = {
        "max_batch": args.max_batch,
        "max_queue": args.max_queue,
        "max_slots": args.max_slots,
        "max_new_tokens": args.max_new_tokens,
        "max_prompt_tokens": args.max_prompt_tokens,
        "deadline_s": args.deadline,
        "grace_s": args.grace,
        "cache_bytes": None if args.cache_mb is None else args.cache_mb * MEGABYTE,
    }
    changed = {name: value for name, value in given.items() if value is not None}
    default = min(Limits().default_new_tokens, args.max_new_tokens or sys.maxsize)
    return replace(Limits(default_new_tokens=default), **changed)
