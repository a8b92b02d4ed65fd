"""Letters as tasks of lmms-eval 0.7 find them in a reply, their traps included."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from typing import Final

_VSTAR_RULES: Final = tuple(
    re.compile(rule, re.IGNORECASE)
    for rule in (
        r"^([A-D])",
        r"(?:ANSWER|CHOICE|OPTION)(?:\s+IS)?[\s:]+([A-D])",
        r"\(([A-D])\)",
        r"([A-D])\s*[.)\]]",
        r"(?:^|\s)([A-D])(?:\s|$)",
    )
)


def vstar_letter(reply: str) -> str | None:
    """V*: the first rule that finds one in the upper-cased reply, or the only letter there is.

    A reply that begins with A to D gives that letter: "BLACK" is B, "Cannot say" C, "Answer: C" A.
    """
    upper = reply.strip().upper()
    for rule in _VSTAR_RULES:
        if (found := rule.search(upper)) is not None:
            return found[1].upper()
    letters = re.findall("[A-D]", upper)
    return str(letters[0]) if len(letters) == 1 else None


_PHRASES: Final = tuple(
    "".join(parts)
    for parts in (
        *product(("", "the "), ("", "correct ", "best "), ("answer is",)),
        *product(("", "the "), ("correct ", "best "), ("option is",)),
        *product(("", "the "), ("", "correct "), ("choice is",)),
        *product(("i ",), ("choose", "select", "pick")),
        *product(("my ",), ("answer", "choice"), (" is",)),
        *(("옵션",), ("정답은",), ("답은",), ("답:",)),
        *(("答案是",), ("答案为",), ("选",), ("答えは",)),
    )
)
# Forms of a letter and how much each is trusted.
_FORMS: Final = (("({})", 6), ("{}.", 5), ("{}:", 4), ("{})", 3), ("{} ", 2))
_START, _END, _PHRASE, _ANYWHERE = 10, 9, 7, 0


def ranked_letter(reply: str, letters: str = "ABCD") -> str:
    """MMStar: the letter in the most trusted form, the last one where forms are equal.

    Only capitals count. "BANANA" is A, for its last letter and the space put after it; "The answer
    is B, not D" is D. Empty where there is none.
    """
    text = reply.strip()
    for mark in ",.!?;:'\"":
        text = text.strip(mark)
    if not reply.strip():
        return ""
    padded = f" {text} "
    found = [*_formed(padded, letters), *_at_ends(padded, letters)]
    found = found or [(_ANYWHERE, padded.rfind(each), each) for each in letters if each in padded]
    # Of equal ones the first, as a stable sort leaves them.
    return max(found, key=lambda each: each[:2])[2] if found else ""


def _formed(text: str, letters: str) -> Iterator[tuple[int, int, str]]:
    for (form, trust), letter in product(_FORMS, letters):
        if (place := text.rfind(form.format(letter))) >= 0:
            yield trust, place, letter
    lower = text.lower()
    for phrase in _PHRASES:
        if (place := lower.find(phrase)) >= 0:
            after = ((text.find(each, place + len(phrase)), each) for each in letters)
            yield from ((_PHRASE, at, letter) for at, letter in after if at >= 0)


def _at_ends(padded: str, letters: str) -> Iterator[tuple[int, int, str]]:
    text = padded.strip()
    alone = len(text) == 1
    for letter in letters:
        if text.startswith(letter) and (alone or not text[1].isalpha()):
            yield _START, 0, letter
        if text.endswith(letter) and (alone or not text[-2].isalpha()):
            yield _END, len(padded) - 1, letter


_PREFIXES: Final = (
    "The best answer is",
    "The correct answer is",
    "The answer is",
    "The answer",
    "The best option is",
    "The correct option is",
    "Best answer:",
    "Best option:",
)


def realworld_letter(reply: str, prefixes: tuple[str, ...] = _PREFIXES) -> str:
    """MME-RealWorld: the first capital A to E once lead-ins are cut out; empty where none is.

    A reply without one that is part of "(a)" counts as that letter, so an empty reply is A.
    """
    said = reply.strip()
    for prefix in prefixes:
        said = said.replace(prefix, "")
    if (found := re.search("[A-E]", said)) is not None:
        return found[0]
    if len(said.split()) > 10:
        return ""
    return next((each for each in "ABCDE" if said.lower() in f"({each.lower()})"), "")
