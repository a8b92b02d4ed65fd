"""Does an answer match a ground truth: the reference's substring rule, and a strict one."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable, Iterable
from typing import Final

Match = Callable[[str, str], bool]
"""`match(prediction, ground_truth)`."""

_NO_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)
# Hyphens, dashes and the minus sign; curly quotes and accents that stand for an apostrophe.
_SAME_SIGN: Final = str.maketrans(
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-")
    | dict.fromkeys("\u2018\u2019\u0060\u00b4", "'")
)
_KEPT_APART: Final = ("<super>", "<sub>", "<fraction>")

_MONEY: Final = "$€£¥₹"
_ARTICLE: Final = re.compile(rf"\b(?:an?|the)\s+(?=[\w{_MONEY}])")
_INITIALS: Final = re.compile(r"\b[^\W\d_](?:\.[^\W\d_])+\b\.?")
_APOSTROPHE: Final = re.compile(r"(?<=[^\W\d_])'(?=[^\W\d_])")
_PERCENT: Final = re.compile(r"(?<=\d)\s*(?:%|\bpercent\b|\bper cent\b)|(?<=\d)percent\b")
_SIGN_BEFORE_MONEY: Final = re.compile(rf"([+-])([{_MONEY}])(?=\.?\d)")

# A sign counts only in front of a number that nothing precedes; marks count only between digits.
_TOKEN: Final = re.compile(
    rf"(?P<money>[{_MONEY}])"
    r"|(?P<sign>(?<![\w.)%])[+-](?=\.?\d))?"
    r"(?P<body>(?:(?<!\w)\.(?=\d))?[^\W_]+(?:(?<=\d)[^\w\s](?=\d)[^\W_]+)*)"
    r"(?P<percent>(?<=\d)%)?"
)
_NUMBER: Final = re.compile(r"(?P<whole>\d{1,3}(?:,\d{3})+|\d*)(?:\.(?P<fraction>\d+))?")


def reference_normalise(text: str) -> str:
    """Lower case, outer spaces off, ASCII punctuation deleted: as the reference does."""
    return text.lower().strip().translate(_NO_PUNCTUATION)


def reference_match(prediction: str, ground_truth: str) -> bool:
    """The reference's test between two answers of a model: either is a substring of the other.

    Kept for comparison with published labels. Its traps: an empty answer matches everything,
    "1.5" equals "15", "-5" equals "5", and "12" matches inside "312".
    """
    return _within(reference_normalise(prediction), reference_normalise(ground_truth))


def reference_ground_truth_match(prediction: str, ground_truth: str) -> bool:
    """The reference's test against a ground truth, which keeps its punctuation.

    One more trap: the prediction has lost its punctuation, so "1.5" never matches "1.5".
    """
    return _within(reference_normalise(prediction), ground_truth.lower().strip())


def strict_match(prediction: str, ground_truth: str) -> bool:
    """Whether a prediction says the ground truth: equal to it, or holding it as whole words.

    Case, spaces, articles and punctuation between words do not count. What makes a number another
    number does: "1.5" is not "15", "-5" not "5", "10%" is 0.1 and not 10. Numbers are compared by
    value ("1,234" equals "1234.0") and only whole ("12" is not inside "312", "12:30" or "12kg").
    Only the prediction may say more ("it is 6000" for "6000"); nothing matches an empty text. Text
    without spaces, such as Chinese, matches only as a whole. A prediction that holds the ground
    truth and contradicts it ("not 6000") still matches: that needs a judge.
    """
    said, wanted = answer_tokens(prediction), answer_tokens(ground_truth)
    if not said or not wanted:
        bare = prediction.strip().casefold()
        return bool(bare) and bare == ground_truth.strip().casefold()
    starts = range(len(said) - len(wanted) + 1)
    return any(said[start : start + len(wanted)] == wanted for start in starts)


def strict_equal(one: str, other: str) -> bool:
    """Whether two answers say the same and no more than that, as `strict_match` reads them."""
    return strict_match(one, other) and strict_match(other, one)


def matches_any(prediction: str, ground_truths: Iterable[str], match: Match = strict_match) -> bool:
    """Whether any ground truth is matched."""
    return any(match(prediction, ground_truth) for ground_truth in ground_truths)


def answer_tokens(text: str) -> tuple[str, ...]:
    """Words and numbers of an answer, as `strict_match` compares them; numbers start with "="."""
    text = _folded(text)
    text = _INITIALS.sub(lambda found: found.group().replace(".", ""), text)
    text = _ARTICLE.sub("", _APOSTROPHE.sub("", text))
    text = _SIGN_BEFORE_MONEY.sub(r"\2\1", _PERCENT.sub("%", text))
    return tuple(_token(found) for found in _TOKEN.finditer(text))


def _within(one: str, other: str) -> bool:
    return one in other or other in one


def _folded(text: str) -> str:
    """Case and compatible forms folded, but a small 2 above the line is not an ordinary one."""
    chars = unicodedata.normalize("NFC", text.translate(_SAME_SIGN))
    folded = [
        char
        if unicodedata.decomposition(char).startswith(_KEPT_APART)
        else unicodedata.normalize("NFKC", char)
        for char in chars
    ]
    return "".join(folded).casefold()


def _token(found: re.Match[str]) -> str:
    if found["money"]:
        return found["money"]
    number = _NUMBER.fullmatch(found["body"])
    if number is None:
        return f"{found['sign'] or ''}{found['body']}{found['percent'] or ''}"
    whole, fraction = number["whole"].replace(",", ""), number["fraction"] or ""
    if found["percent"]:
        padded = whole.rjust(2, "0")
        whole, fraction = padded[:-2], padded[-2:] + fraction
    whole, fraction = whole.lstrip("0"), fraction.rstrip("0")
    sign = "-" if found["sign"] == "-" and (whole or fraction) else ""
    return f"={sign}{whole or '0'}{'.' if fraction else ''}{fraction}"
