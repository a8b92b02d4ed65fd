"""Whether a reply holds an answer, as OCRBench asks it.

The harnesses look for the answer's characters anywhere in the reply, lower-cased: "5" is found in
"1955", and an empty answer in everything. Formulas (HME100k) are compared without spaces, and
their case counts. lmms-eval also folds full-width characters to ASCII.

Strictly, an answer is found where words and numbers begin and end, a formula where its LaTeX
tokens follow one another, and an empty answer never.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from qzoom.eval.samples import Scoring

_FULL_WIDTH: Final = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
_LATEX_TOKEN: Final = re.compile(r"\\[A-Za-z]+|\\.|\S")


def holds_answer(
    prediction: str, answers: Sequence[str], scoring: Scoring, is_formula: bool
) -> bool:
    """Whether one of the answers is in the reply."""
    if scoring == "strict":
        found = _holds_formula if is_formula else _holds_words
        return any(found(prediction, answer) for answer in answers)
    if is_formula:
        said = _unspaced(prediction)
        return any(_unspaced(answer) in said for answer in answers)
    said = _lowered(prediction, scoring)
    return any(_lowered(answer, scoring) in said for answer in answers)


def _lowered(text: str, scoring: Scoring) -> str:
    folded = text.translate(_FULL_WIDTH) if scoring == "lmms-eval" else text
    return folded.lower().strip().replace("\n", " ")


def _unspaced(text: str) -> str:
    return text.strip().replace("\n", " ").replace(" ", "")


def _holds_words(prediction: str, answer: str) -> bool:
    said, wanted = (
        " ".join(text.translate(_FULL_WIDTH).casefold().split()) for text in (prediction, answer)
    )
    if not wanted:
        return False
    before, after = "", ""
    if re.match(r"\w", wanted):
        before = r"(?<!\w)" + (r"(?<!\d[.,])" if wanted[0].isdecimal() else "")
    if re.search(r"\w\Z", wanted):
        after = r"(?!\w)" + (r"(?![.,]\d)" if wanted[-1].isdecimal() else "")
    return re.search(before + re.escape(wanted) + after, said) is not None


def _holds_formula(prediction: str, answer: str) -> bool:
    said, wanted = _LATEX_TOKEN.findall(prediction), _LATEX_TOKEN.findall(answer)
    if not wanted:
        return False
    starts = range(len(said) - len(wanted) + 1)
    return any(said[start : start + len(wanted)] == wanted for start in starts)
