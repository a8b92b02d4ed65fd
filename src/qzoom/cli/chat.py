"""`qzoom chat`: questions about opened images, one line each."""

from __future__ import annotations

import argparse
import io
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from qzoom.cli.arguments import UsageError
from qzoom.cli.chat_commands import Leave, run_command
from qzoom.cli.failures import explain
from qzoom.cli.model_options import add_length_option, add_model_options, load_model
from qzoom.cli.quiet import hush_libraries
from qzoom.cli.terminal import dim, is_terminal, one_line, printable

if TYPE_CHECKING:
    from qzoom.cli.arguments import Parser
    from qzoom.cli.conversation import Conversation
    from qzoom.zoom.options import AskOptions

_EXAMPLES = """\
examples:
  qzoom chat receipt.png
  printf 'what is the total?\\nwhat is the title?\\n' | qzoom chat receipt.png > answers.txt
"""
_PROMPT = "> "


def add_parser(verbs: argparse._SubParsersAction[Parser]) -> None:
    """Add the verb."""
    text = "ask questions about images, a line each"
    parser = verbs.add_parser(
        "chat",
        help=text,
        description=text.capitalize() + "; /help in the chat lists its commands.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("image", nargs="+", metavar="IMAGE", help="image file")
    add_length_option(parser)
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read the images, load the model and answer line by line until the input ends."""
    from qzoom.cli.conversation import Conversation, read_images

    images = read_images(args.image)
    hush_libraries()
    how: AskOptions = {"max_new_tokens": args.max_new_tokens}
    conversation = Conversation(load_model(args), args.image, images, how)
    if isinstance(sys.stdin, io.TextIOWrapper):
        # A byte that is no text becomes a question mark in a box, not the end of the chat.
        sys.stdin.reconfigure(errors="replace")
    if is_terminal(sys.stdin):
        _talk(conversation)
    else:
        _answer_all(conversation)
    return 0


def _talk(conversation: Conversation) -> None:
    """Go on after everything that fails or is stopped, until the person leaves."""
    _load_line_editing()
    _tell(f"{conversation.about()}\n/help lists commands, Ctrl-D leaves")
    while True:
        try:
            _take(conversation, _ask_for_line())
        except EOFError:
            return print(file=sys.stderr)
        except Leave:
            return
        except KeyboardInterrupt:
            _tell("stopped")
        except BrokenPipeError:
            raise
        except Exception as error:
            _tell(_one_line_of(error))


def _answer_all(conversation: Conversation) -> None:
    """Answer what is piped in; a line that fails does not keep the others from their answers.

    Raises:
        UsageError: at the end, when any failed.
    """
    failed = 0
    for number, line in enumerate(sys.stdin, 1):
        try:
            _take(conversation, line.rstrip("\r\n"))
        except Leave:
            break
        except BrokenPipeError:
            raise
        except Exception as error:
            failed += 1
            print(f"qzoom: line {number}: {_one_line_of(error)}", file=sys.stderr)
    if failed:
        raise UsageError(f"{failed} line(s) of the input failed")


def _take(conversation: Conversation, line: str) -> None:
    """Answer a question or run a command; an empty line is neither."""
    if line.startswith("/"):
        if told := run_command(conversation, line):
            _tell(told)
    elif line.strip():
        conversation.ask(line.strip())


def _ask_for_line() -> str:
    try:
        if is_terminal(sys.stdout):
            return input(_PROMPT)
        # The answers alone go where stdout leads.
        print(_PROMPT, end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
    except KeyboardInterrupt:
        # Only the line that was being written is given up.
        print(file=sys.stderr)
        return ""
    if not line:
        raise EOFError
    return line.rstrip("\n")


def _load_line_editing() -> None:
    """Arrow keys and the lines before, where Python has them: input() uses them once loaded."""
    try:
        import_module("readline")
    except ImportError:
        return


def _tell(text: str) -> None:
    print(dim(printable(text)) if is_terminal(sys.stderr) else printable(text), file=sys.stderr)


def _one_line_of(error: Exception) -> str:
    explained = explain(error)
    if explained is None:
        raise error
    return one_line(explained[0])
