"""When an answer counts as exactly right."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

_AMOUNT: Final = re.compile(
    r"(?P<currency>rm|myr|usd|eur|gbp|[$€£¥₹])?\s*"
    r"(?P<number>[+-]?(?:\d{1,3}(?:,\d{3})+|\d+|(?=\.\d))(?:\.\d+)?)"
)


def exact(said: str, answers: Iterable[str]) -> bool:
    """Whether a text is one of the answers: case folded, runs of spaces made one.

    An amount of money, which is an answer with a currency or a decimal point, is compared as a
    number: "60.3" and "RM 60.30" are right for "60.30". Everything else, dates too, is text.
    """
    return any(_same(said, answer) for answer in answers)


def _same(said: str, answer: str) -> bool:
    one, other = _folded(said), _folded(answer)
    if one == other:
        return True
    found, wanted = _AMOUNT.fullmatch(one), _AMOUNT.fullmatch(other)
    if found is None or wanted is None:
        return False
    is_amount = bool(wanted["currency"]) or "." in wanted["number"]
    return is_amount and _value(found["number"]) == _value(wanted["number"])


def _value(number: str) -> Decimal:
    return Decimal(number.replace(",", ""))


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
