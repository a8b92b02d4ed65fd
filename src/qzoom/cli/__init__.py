"""The command line: `main` picks the verb, runs it and turns errors into one line and a code.

Nothing here imports torch, transformers, numpy or Pillow; a verb does so once it runs.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from qzoom.cli import (
    ask,
    bench,
    calibrate,
    chat,
    data,
    demo,
    doctor,
    evaluate,
    label,
    reproduce,
    serve,
    train,
)
from qzoom.cli.arguments import Parser, VersionAction
from qzoom.cli.failures import BAD_INPUT, explain
from qzoom.cli.terminal import one_line

INTERRUPTED = 130
# What a shell reports for a program that the signal SIGPIPE ended.
PIPE_CLOSED = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: Arguments without the program name; None takes those of the process.

    Returns:
        0 on success, 1 when the work failed, 2 when the input was bad, 130 after Ctrl-C.
    """
    try:
        code = _run(argv)
        # A pipe closed by its reader shows only when the last bytes leave.
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _discard_stdout()
        return PIPE_CLOSED
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        explained = explain(error)
        if explained is None:
            raise
        message, code = explained
        print(f"qzoom: {one_line(message)}", file=sys.stderr)
        return code


def build_parser() -> Parser:
    """The parser of all verbs."""
    parser = Parser(
        prog="qzoom",
        description="Ask about an image; the model looks closer only where the question needs it.",
        epilog="'qzoom VERB --help' explains a verb.",
    )
    parser.add_argument("--version", action=VersionAction)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", dest="verb")
    for verb in (
        ask,
        chat,
        demo,
        serve,
        data,
        label,
        train,
        calibrate,
        evaluate,
        reproduce,
        bench,
        doctor,
    ):
        verb.add_parser(verbs)
    return parser


def _run(argv: Sequence[str] | None) -> int:
    parser = build_parser()
    # A model may say what the encoding of the terminal cannot; a "?" beats a traceback.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        args = parser.parse_args(argv)
    except SystemExit as stop:  # --help and --version end this way
        return stop.code if isinstance(stop.code, int) else 0
    if args.verb is None:
        parser.print_help(sys.stderr)
        return BAD_INPUT
    code: int = args.run(args)
    return code


def _discard_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush stays quiet."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, io.UnsupportedOperation):
        return
