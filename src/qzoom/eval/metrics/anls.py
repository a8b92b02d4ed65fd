"""Average normalised Levenshtein similarity, of DocVQA and InfoVQA.

Both harnesses compare normalised texts, but divide by the lengths of the raw ones: spaces that do
not count as an error make the error smaller. lmms-eval strips a reply first, VLMEvalKit does not.
Both keep a similarity of exactly one half, which the definition (arXiv 1907.00490, eq. 1) drops.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from qzoom.eval.samples import Scoring

_THRESHOLD: Final = 0.5


def anls(prediction: str, answers: Sequence[str], scoring: Scoring) -> float:
    """Similarity to the nearest of the answers, from 0 to 1; 0 below one half."""
    said = prediction if scoring == "vlmevalkit" else prediction.strip()
    similarity = 1 - min(_distance(said, answer, scoring) for answer in answers)
    if scoring == "strict" and similarity == _THRESHOLD:
        return 0.0
    return similarity if similarity >= _THRESHOLD else 0.0


def _distance(said: str, answer: str, scoring: Scoring) -> float:
    """Edits per character of the longer text."""
    one, other = _normalised(said), _normalised(answer)
    measured = (one, other) if scoring == "strict" else (said.upper(), answer.upper())
    length = max(len(text) for text in measured)
    return levenshtein(one, other) / length if length else 0.0


def _normalised(text: str) -> str:
    return " ".join(text.lower().split())


def levenshtein(one: str, other: str) -> int:
    """Fewest characters to insert, delete or replace that make one text the other."""
    row = list(range(len(other) + 1))
    for place, char in enumerate(one, 1):
        diagonal, row[0] = row[0], place
        for column, wanted in enumerate(other, 1):
            replaced = diagonal + (char != wanted)
            diagonal = row[column]
            row[column] = min(replaced, diagonal + 1, row[column - 1] + 1)
    return row[-1]
