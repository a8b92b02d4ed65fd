"""Relaxed accuracy of ChartQA: numbers within 5 % of the answer, other texts equal.

The harnesses read "10%" as 0.1, so that it is wrong for "10", and compare with an answer of 0 as
text, so that "0.0" is wrong. lmms-eval does not strip the reply, VLMEvalKit does.

Strictly, spaces around and a full stop behind a text do not count, numbers may have commas
between thousands, an answer of 0 needs a 0, and the sign "%" is a unit: two numbers with it, or
two without, are compared as written. Where only one has it, it may be read as written (an axis in
per cent) or as hundredths (a share): both are what the chart says.
"""

from __future__ import annotations

import re
from typing import Final

from qzoom.eval.samples import Scoring

_MAX_RELATIVE_CHANGE: Final = 0.05
_NUMBER: Final = re.compile(
    r"(?P<number>[+-]?(?:\d{1,3}(?:,\d{3})+|\d+|(?=\.\d))(?:\.\d+)?)\s*(?P<percent>%)?", re.ASCII
)


def relaxed(prediction: str, answer: str, scoring: Scoring) -> bool:
    """Whether a reply counts as the answer."""
    if scoring == "strict":
        return _strict(_bare(prediction), _bare(answer))
    said = prediction.strip() if scoring == "vlmevalkit" else prediction
    number, wanted = _float(said), _float(answer)
    if number is None or not wanted:
        return said.lower() == answer.lower()
    return _near(number, wanted)


def _near(number: float, wanted: float) -> bool:
    return abs(number - wanted) / abs(wanted) <= _MAX_RELATIVE_CHANGE


def _float(text: str) -> float | None:
    """A number as the harnesses read it."""
    try:
        return float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None


def _strict(said: str, answer: str) -> bool:
    one, other = _NUMBER.fullmatch(said), _NUMBER.fullmatch(answer)
    if one is None or other is None:
        return " ".join(said.casefold().split()) == " ".join(answer.casefold().split())
    number, wanted = _value(one), _value(other)
    pairs = [(number, wanted)]
    if one["percent"] and not other["percent"]:
        pairs.append((number / 100, wanted))
    if other["percent"] and not one["percent"]:
        pairs.append((number, wanted / 100))
    return any(_near(a, b) if b else a == b for a, b in pairs)


def _value(found: re.Match[str]) -> float:
    return float(found["number"].replace(",", ""))


def _bare(text: str) -> str:
    return text.strip().removesuffix(".").rstrip()
