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
from qzoom.cli.terminal import one_line
from qzoom.errors import QZoomError

FAILED = 1
BAD_INPUT = 2
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
    except QZoomError as error:
        return _fail(str(error), BAD_INPUT)
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        return _fail(f"{error.strerror or error}{place}", FAILED)
    except MemoryError:
        return _fail("out of memory; give a smaller image or --direct", FAILED)
    except RuntimeError as error:
        # Known by name, because naming the class would import torch.
        if type(error).__name__ != "OutOfMemoryError":
            raise
        hint = "give a smaller image, --dtype bfloat16 or --device cpu"
        return _fail(f"the device is out of memory; {hint}", FAILED)


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


def _fail(message: str, code: int) -> int:
    print(f"qzoom: {one_line(message)}", file=sys.stderr)
    return code


def _discard_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush stays quiet."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, io.UnsupportedOperation):
        return
