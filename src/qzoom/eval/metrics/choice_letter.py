"""The letter that a reply to a multiple-choice question gives, as one would expect it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_MARKUP: Final = " \t\r\n*_`\"'.,;:!"
_LEAD_IN: Final = re.compile(
    r"(?:so |therefore,? )?(?:the |my )?(?:best |correct |right |final )?"
    r"(?:answer|option|choice)(?: is)?\s*(?::|\s)\s*",
    re.IGNORECASE,
)
_LABEL: Final = re.compile(r"[(\[]?([A-Za-z])(?:[)\].:]+|\s*-)\s*(.+)", re.DOTALL)


def stated_letter(reply: str, options: Mapping[str, str], letters: str = "ABCD") -> str | None:
    """The letter of an option that stands alone, or whose whole text the reply is.

    "b", "(B)", "**B**", "Answer: B" and, where B is a cat, "cat" and "B. cat" give B. A word that
    begins with a letter, two letters, or a letter with the text of another option give nothing.

    Args:
        options: text by letter.
        letters: those there are, where no texts are known.
    """
    said = _bare(reply)
    if (lead_in := _LEAD_IN.match(said)) is not None:
        said = _bare(said[lead_in.end() :])
    known = "".join(options) or letters
    alone = said.strip("()[]{}" + _MARKUP).upper()
    if len(alone) == 1 and alone in known:
        return alone
    named = [letter for letter, text in options.items() if _same(said, text)]
    if len(named) == 1:
        return named[0]
    if (label := _LABEL.fullmatch(said)) is None:
        return None
    letter, text = label[1].upper(), label[2]
    return letter if letter in options and _same(text, options[letter]) else None


def _bare(text: str) -> str:
    return text.strip(_MARKUP)


def _same(said: str, text: str) -> bool:
    one, other = _bare(said), _bare(text)
    return bool(other) and one.casefold().split() == other.casefold().split()
