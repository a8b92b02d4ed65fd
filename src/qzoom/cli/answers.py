"""An answer on its way to stdout, and the note under it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from qzoom.cli.summary import summary_line
from qzoom.cli.terminal import dim, is_terminal, printable

if TYPE_CHECKING:
    from qzoom.zoom.answer import AnswerStream, ZoomAnswer
    from qzoom.zoom.options import AskOptions
    from qzoom.zoom.session import ImageSession


def print_answer(session: ImageSession, question: str, options: AskOptions) -> ZoomAnswer:
    """Ask, and print the text as it comes on a terminal, whole elsewhere.

    Raises:
        QZoomError: for a question or an option that cannot be used.
    """
    if is_terminal(sys.stdout):
        return _stream(session.ask(question, stream=True, **options))
    answer = session.ask(question, stream=False, **options)
    print(answer.text, flush=True)
    return answer


def print_summary(answer: ZoomAnswer) -> None:
    """The way to the answer, dim, for a person who watches stderr."""
    if is_terminal(sys.stderr):
        print(dim(summary_line(answer)), file=sys.stderr)


def _stream(pieces: AnswerStream) -> ZoomAnswer:
    try:
        for piece in pieces:
            sys.stdout.write(printable(piece))
            sys.stdout.flush()
    finally:
        # Also after Ctrl-C, so that the prompt starts on a line of its own.
        print(flush=True)
    assert pieces.answer is not None
    return pieces.answer
