"""How well a model answers the questions of records: documents, receipts, anything with answers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from qzoom.data.images import ImageFolder
from qzoom.data.records import Record, Turn
from qzoom.errors import DataError
from qzoom.eval.exact import exact
from qzoom.eval.looks import looks_of
from qzoom.eval.tally import Tally, share
from qzoom.zoom.model import ZoomModel

_QUOTED: Final = re.compile(r'"[^"]*"')


def kind_of(record: Record, turn: Turn) -> str:
    """Dataset and question, without the print that the question names in double quotes."""
    return f"{record.dataset}: {question_kind(turn.question)}"


def question_kind(question: str) -> str:
    """A question without the print that it names in double quotes."""
    return _QUOTED.sub('"..."', question)


def evaluate_records(
    model: ZoomModel,
    records: Iterable[Record],
    folder: ImageFolder,
    looks: Sequence[str],
    *,
    max_new_tokens: int = 48,
) -> dict[str, dict[str, Any]]:
    """Ask all questions of the records in each way of looking.

    Args:
        records: with answered questions only, as `chosen` gives them.
        looks: names of `qzoom.eval.looks.LOOKS`.

    Returns:
        a report by look; its "by_kind" has share, interval and number of each kind of question.

    Raises:
        DataError: when there is no question, or an image is missing.
        ImageError: when an image cannot be decoded.
    """
    ways = looks_of(model, looks)
    tallies = {name: Tally() for name in looks}
    for record in records:
        pictures = [folder.open(path) for path in record.images]
        for name, (looking, zoom) in ways.items():
            session = looking.open(pictures)
            for turn in record.turns:
                answer = session.ask(turn.question, zoom=zoom, max_new_tokens=max_new_tokens)
                right = exact(answer.text, turn.answers)
                tallies[name].add(kind_of(record, turn), right, answer, turn.boxes_px_xyxy)
    if not any(tally.cells for tally in tallies.values()):
        raise DataError("no question with an answer is left; look at --split and --question")
    return {name: _report(tally) for name, tally in tallies.items()}


def chosen(
    records: Iterable[Record], split: str | None, limit: int | None, questions: Sequence[str]
) -> Iterator[Record]:
    """The first `limit` records of a split, with their answered questions of some kinds.

    Args:
        questions: kinds as `question_kind` writes them; none takes all.
    """
    of_split = (record for record in records if split in (None, record.split))
    wanted = (found for record in of_split if (found := _only(record, questions)) is not None)
    return islice(wanted, limit)


def _only(record: Record, questions: Sequence[str]) -> Record | None:
    turns = tuple(
        turn
        for turn in record.turns
        if turn.answers and (not questions or question_kind(turn.question) in questions)
    )
    return replace(record, turns=turns) if turns else None


def _report(tally: Tally) -> dict[str, Any]:
    by_kind = {kind: share(group) for kind, group in sorted(tally.right.items())}
    return tally.report() | {"by_kind": by_kind}
