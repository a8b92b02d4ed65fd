"""Multiple-choice questions as benchmark files write them, as harnesses ask them and count them."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from qzoom.errors import DataError
from qzoom.eval.benchmarks.base import Scored, by_category, mean_score
from qzoom.eval.benchmarks.tables import TableRow
from qzoom.eval.samples import Sample, Scoring

LETTER_INSTRUCTION: Final = "\nAnswer with the option's letter from the given choices directly."

Finder = Callable[[str, Mapping[str, str]], str | None]
"""The letter that a reply gives, from the reply and the texts of the options by letter."""

# How a letter is marked where options stand in the question: "(A) x", "A: x" or "A. x".
_MARKS: Final = (r"\({}\)", r"(?<![A-Za-z]){}:", r"(?<![A-Za-z]){}\.(?=\s)")


def column_options(row: TableRow) -> dict[str, str]:
    """Options that have a column each, A, B and so on; blank ones are left out.

    Raises:
        DataError: when there is none.
    """
    found = {letter: row.optional_text(letter) for letter in string.ascii_uppercase}
    options = {letter: text for letter, text in found.items() if text}
    if not options:
        raise DataError("no options: the columns A, B and so on are missing or empty")
    return options


def inline_options(text: str) -> tuple[str, dict[str, str]]:
    """The question, and the options that follow it in one text; none where there are no two."""
    for mark in _MARKS:
        places = _places(text, mark)
        if len(places) < 2:
            continue
        ends = [start for start, _ in places[1:]] + [len(text)]
        texts = [text[begin:end].strip() for (_, begin), end in zip(places, ends, strict=True)]
        # Commas are put between options, not after the last.
        texts = [*(each.removesuffix(",") for each in texts[:-1]), texts[-1]]
        question = re.sub(r"(?:Options|Choices):?\s*$", "", text[: places[0][0]].rstrip())
        return question.strip(), dict(zip(string.ascii_uppercase, texts, strict=False))
    return text.strip(), {}


def answer_letter(row: TableRow, name: str, letters: Sequence[str] | Mapping[str, str]) -> str:
    """The right letter.

    Raises:
        DataError: when no option has it.
    """
    letter = row.text(name).strip().upper()
    if letter not in letters:
        raise DataError(f"{name} is {letter!r}, the options are {', '.join(letters) or 'none'}")
    return letter


def listed(options: Mapping[str, str]) -> str:
    """One option in a line, each line ended."""
    return "".join(f"{letter}. {text}\n" for letter, text in options.items())


def vlmevalkit_prompt(question: str, options: Mapping[str, str]) -> str:
    """As VLMEvalKit asks a model that has no prompt of its own."""
    shown = f"Options:\n{listed(options)}" if options else ""
    ending = "Please select the correct answer from the options above. \n"
    return f"Question: {question}\n{shown}{ending}"


def scored_by(finders: Mapping[Scoring, Finder]) -> Callable[[Sample, str, Scoring], float]:
    """A score that is 1 where the letter found is the right one."""

    def score(sample: Sample, prediction: str, scoring: Scoring) -> float:
        return float(finders[scoring](prediction, sample.options) == sample.answers[0])

    return score


def shares(scored: Sequence[Scored], headline: str = "overall") -> dict[str, float]:
    """The mean score of all, and of every category."""
    groups = sorted(by_category(scored).items())
    return {headline: mean_score(scored)} | {name: mean_score(group) for name, group in groups}


def _places(text: str, mark: str) -> list[tuple[int, int]]:
    """Where the marks of A, B and so on begin and end, as far as they follow each other."""
    found: list[tuple[int, int]] = []
    for letter in string.ascii_uppercase:
        place = re.compile(mark.format(letter)).search(text, found[-1][1] if found else 0)
        if place is None:
            break
        found.append(place.span())
    return found
