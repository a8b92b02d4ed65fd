"""What a reply to a yes-or-no question says; None where neither."""

from __future__ import annotations

import re
from typing import Final, Literal

from qzoom.eval.metrics.vqa_accuracy import without_marks

YesNo = Literal["yes", "no"]

_STATED: Final = re.compile(r"(?:(?:the |my )?(?:correct )?answer(?: is)?\s*:?\s*)?(yes|no)\b")


def stated(reply: str) -> YesNo | None:
    """The word that the reply begins with, if the other one does not follow: "No." is no."""
    said = reply.casefold().lstrip(" \t\r\n*_`\"'([")
    if (found := _STATED.match(said)) is None:
        return None
    one: YesNo = "yes" if found[1] == "yes" else "no"
    other = "no" if one == "yes" else "yes"
    return None if re.search(rf"\b{other}\b", said[found.end() :]) else one


def exactly(reply: str) -> YesNo | None:
    """lmms-eval's POPE: the whole reply, case aside; "Yes." is neither."""
    return _either(reply.lower().strip())


def at_start(reply: str) -> YesNo | None:
    """lmms-eval's MME: periods aside, y or n, or a word within the first four characters.

    "Not sure" is no.
    """
    said = reply.lower().strip().replace(".", "")
    if len(said) == 1:
        return "yes" if said == "y" else "no" if said == "n" else None
    return "yes" if "yes" in said[:4] else "no" if "no" in said[:4] else None


def among_words(reply: str) -> YesNo | None:
    """VLMEvalKit: the one that is among the words when its punctuation is gone.

    "Yes: it is" is neither, for it keeps colons.
    """
    words = without_marks(reply.lower(), "vlmevalkit").split()
    return _either(" ".join(sorted({"yes", "no"} & set(words))))


def _either(said: str) -> YesNo | None:
    return "yes" if said == "yes" else "no" if said == "no" else None
