"""`qzoom demo`: a page to drop a picture on and ask."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import TYPE_CHECKING

from qzoom.cli.arguments import UsageError, port_number
from qzoom.cli.model_options import add_model_options
from qzoom.cli.quiet import hush_libraries

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser

# What a shell reports for a program that the signal SIGTERM ended.
TERMINATED = 143

_EXAMPLES = """\
examples:
  qzoom demo
  qzoom demo --model ./my-model --device cuda --port 8080
  QZOOM_DEMO_LOGIN="guest:$(openssl rand -hex 8)" qzoom demo --host 0.0.0.0
"""
_NOTE = (
    "The embedded model is a toy that reads drawn signs, cards, charts and tables like the "
    "examples; for photos and documents start the page with --model."
)


def add_parser(verbs: argparse._SubParsersAction[Parser]) -> None:
    """Add the verb."""
    text = "a page in the browser: drop a picture, ask, see where the model looked"
    parser = verbs.add_parser(
        "demo",
        help=text,
        description=text.capitalize() + ".",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address (default: 127.0.0.1)")
    parser.add_argument("--port", type=port_number, default=7860, help="default 7860; 0: any free")
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Load the model and serve the page until stopped."""
    from importlib.util import find_spec

    from qzoom.ui.server import LOGIN_VARIABLE, read_login, serve_page

    hush_libraries()
    if find_spec("gradio") is None:
        raise UsageError("gradio is missing; pip install 'qzoom[demo]'")
    login = read_login(args.host, os.environ.get(LOGIN_VARIABLE, ""))
    import qzoom
    from qzoom.ui.gallery import find_examples

    model = qzoom.load(args.model, adapter=args.adapter, dtype=args.dtype, device=args.device)
    model.require_tokenizer()
    note = _NOTE if args.model is None else ""
    # Ends as Ctrl-C does, so that the visitors' pictures are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    serve_page(model, find_examples(), args.host, args.port, login, note, on_ready=_greet)
    return 0


def _greet(url: str) -> None:
    print(f"open {url} in a browser; Ctrl-C stops", file=sys.stderr, flush=True)
