"""Letters as VLMEvalKit finds them in a reply where no judge is asked (exact matching)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from qzoom.eval.metrics.choice_lmms_eval import realworld_letter as _realworld_letter

REFUSED: Final = "Z"
"""In place of a letter, where a reply declines; no judge is asked about it."""

_REFUSALS: Final = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
_NO_REPLY: Final = "Failed to obtain answer via API"
_SPACED: Final = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_SAID: Final = re.compile(r"answer\s+is\s+\**([A-D])", re.IGNORECASE)
_LAST_WORDS: Final = 4
# Two commas are missing from its list, so four lead-ins became two that nobody says.
_PREFIXES: Final = (
    "The best answer is",
    "The correct answer is",
    "The answer is",
    "The answer",
    "The best option isThe correct option is",
    "Best answer:Best option:",
)


def inferred_letter(reply: str, options: Mapping[str, str]) -> str | None:
    """The only letter among the last words, that of "answer is B", or of the only text named.

    "The answer is cat" is C. None where a judge would be asked.

    Args:
        options: text by letter.
    """
    words = _words(reply)
    letter = _only_letter(reply, words, options)
    if letter == REFUSED:
        return letter
    if letter is not None and words.index(letter) >= len(words) - _LAST_WORDS:
        return letter
    said = None if _NO_REPLY in reply else _SAID.search(reply)
    if said is not None and said[1].upper() in options:
        return said[1].upper()
    if len(reply.lower()) > 2 * sum(map(len, options.values())):
        return None
    return _only_text(reply, options)


def inferred_letter_of_lmms_eval(reply: str, options: Mapping[str, str]) -> str | None:
    """The older rule that lmms-eval's HR-Bench keeps: the letter may be any word of any reply."""
    letter = _only_letter(reply, _words(reply), options)
    return _only_text(reply, options) if letter is None else letter


def realworld_letter(reply: str) -> str:
    """MME-RealWorld: as in lmms-eval, with fewer lead-ins known; "Best answer: C" is B."""
    return _realworld_letter(reply, _PREFIXES)


def _words(reply: str) -> list[str]:
    return reply.translate(_SPACED).split()


def _only_letter(reply: str, words: list[str], options: Mapping[str, str]) -> str | None:
    if _NO_REPLY in reply:
        return None
    if any(refusal in reply for refusal in _REFUSALS):
        return REFUSED
    found = [letter for letter in options if letter in words]
    if not found and REFUSED in words:
        return REFUSED
    return found[0] if len(found) == 1 else None


def _only_text(reply: str, options: Mapping[str, str]) -> str | None:
    named = [letter for letter, text in options.items() if text.lower() in reply.lower()]
    return named[0] if len(named) == 1 else None
