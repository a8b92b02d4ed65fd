"""The commands of a chat: lines that begin with a slash."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qzoom.cli.arguments import UsageError
from qzoom.zoom.effort import LEVELS

if TYPE_CHECKING:
    from qzoom.cli.conversation import Conversation
    from qzoom.zoom.effort import EffortLevel

_NOTES: Final = """\
Each question is answered from the images alone, without the earlier questions and answers.
Ctrl-C stops an answer, Ctrl-D leaves. A space before a slash makes it part of a question."""


class Leave(Exception):
    """The chat is over."""


@dataclass(frozen=True)
class Command:
    """One command.

    argument: what follows its name, as help shows it; empty where nothing may.
    run: does it, and returns the line to show.
    """

    argument: str
    text: str
    run: Callable[[Conversation, str], str]


def run_command(conversation: Conversation, line: str) -> str:
    """Do what a line that begins with a slash says, and return what to show.

    Raises:
        Leave: on /quit.
        QZoomError: for a command that is not known or cannot be done.
    """
    name, _, argument = line[1:].strip().partition(" ")
    command = COMMANDS.get(name)
    if command is None:
        raise UsageError(f"no command /{name}; /help lists them")
    argument = argument.strip()
    if bool(argument) != bool(command.argument):
        raise UsageError(f"write /{name} {command.argument}".rstrip())
    return command.run(conversation, argument)


def _direct(conversation: Conversation, _: str) -> str:
    conversation.choose({"zoom": "never"})
    return "the next answers are direct"


def _zoom(conversation: Conversation, _: str) -> str:
    conversation.choose({"zoom": "always"})
    return "the next answers look closer"


def _auto(conversation: Conversation, _: str) -> str:
    conversation.choose({})
    return "the gate decides whether to look closer"


def _effort(conversation: Conversation, name: str) -> str:
    levels: dict[str, EffortLevel] = {level: level for level in LEVELS}
    if name not in levels:
        raise UsageError(f"no effort {name!r}; give {', '.join(LEVELS)}")
    conversation.choose({"effort": levels[name]})
    return f"the gate decides, with {name} effort"


def _view(conversation: Conversation, target: str) -> str:
    conversation.save_view(Path(target).expanduser())
    return f"wrote {target}"


def _open(conversation: Conversation, path: str) -> str:
    conversation.open(os.path.expanduser(path))
    return conversation.about()


def _help(_: Conversation, __: str) -> str:
    uses = {f"/{name} {command.argument}": command.text for name, command in COMMANDS.items()}
    width = max(map(len, uses))
    return "\n".join([f"{use:{width}}  {text}" for use, text in uses.items()] + [_NOTES])


def _quit(_: Conversation, __: str) -> str:
    raise Leave


COMMANDS: Final[dict[str, Command]] = {
    "direct": Command("", "never look closer from now on", _direct),
    "zoom": Command("", "always look closer from now on", _zoom),
    "auto": Command("", "let the gate decide again, as at the start", _auto),
    "effort": Command("|".join(LEVELS), "let the gate decide, that readily", _effort),
    "view": Command("OUT.png", "save where the last answer looked", _view),
    "open": Command("IMAGE", "go on with another image", _open),
    "help": Command("", "show this", _help),
    "quit": Command("", "leave", _quit),
}
