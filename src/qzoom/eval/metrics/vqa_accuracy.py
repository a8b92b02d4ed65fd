"""VQA accuracy of TextVQA: how many of ten people gave the reply.

For each person's answer in turn the others vote: three equal votes are full marks, and the mean
over all persons is the score. Texts are normalised as the evaluation server (EvalAI) does it.
Both harnesses delete no more than 32 full stops, because a flag of the pattern stands where the
number of replacements is meant. VLMEvalKit keeps commas, question marks and "'s" until later,
deletes marks instead of making them spaces once there is a comma between digits, and keeps a full
stop behind a digit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from qzoom.eval.metrics.contractions import CONTRACTIONS
from qzoom.eval.samples import Scoring

_MARKS: Final = ';/[]"{}()=+\\_-><@`,?!'
_COMMA: Final = re.compile(r"\d,\d")
_STOP: Final = re.compile(r"\.(?!\d)")
_STOP_AFTER_NO_DIGIT: Final = re.compile(r"(?<!\d)\.(?!\d)")
_MAX_STOPS: Final = int(re.UNICODE)
_NUMBERS: Final = {"none": "0"} | {
    word: str(number)
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten".split()  # noqa: SIM905
    )
}
_ARTICLES: Final = ("a", "an", "the")
_FULL_VOTES: Final = 3


def vqa_accuracy(prediction: str, answers: Sequence[str], scoring: Scoring) -> float:
    """Share of full marks, from 0 to 1.

    Args:
        answers: one of each person, equal ones included; ten in TextVQA.
    """
    said = normalised(prediction, scoring)
    given = [normalised(answer, scoring) for answer in answers]
    votes = given.count(said)
    marks = [min(1.0, (votes - (answer == said)) / _FULL_VOTES) for answer in given]
    return sum(marks) / len(marks)


def normalised(text: str, scoring: Scoring) -> str:
    """A reply or an answer as it is compared."""
    if scoring != "vlmevalkit":
        text = text.lower().replace(",", "").replace("?", "").replace("'s", " 's")
    text = text.replace("\n", " ").replace("\t", " ").strip()
    return _words(without_marks(text, scoring))


def without_marks(text: str, scoring: Scoring) -> str:
    """Marks become spaces; one that has a space beside it anywhere is deleted everywhere."""
    in_number = _COMMA.search(text) is not None
    table = {
        ord(mark): "" if in_number or f"{mark} " in text or f" {mark}" in text else " "
        for mark in _MARKS
    }
    stop = _STOP_AFTER_NO_DIGIT if scoring == "vlmevalkit" else _STOP
    most = 0 if scoring == "strict" else _MAX_STOPS  # 0 is no limit
    return stop.sub("", text.translate(table), count=most)


def _words(text: str) -> str:
    """Number words as digits, no articles, contractions with their apostrophe."""
    words = (_NUMBERS.get(word, word) for word in text.lower().split())
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)
