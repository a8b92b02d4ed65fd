"""Answers at several resolutions, and direct answers beside zoomed ones, read side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from qzoom.errors import ConfigError, LabelError
from qzoom.labels.answer_files import answer_each, answers_file
from qzoom.labels.answer_rows import AnswerIndex, AnswerRow
from qzoom.labels.answerers import direct_answerer
from qzoom.labels.answers import AnswerReport, AnswerRun, PoolRecord
from qzoom.labels.consistency import AnswerRule, Trajectory, strict_rule
from qzoom.labels.gate_samples import GateSample, crop_fix_label
from qzoom.labels.operating_points import RoutedOutcome
from qzoom.progress import Say
from qzoom.zoom.model import ZoomModel


class KnownRecord(Protocol):
    """A question whose answer is known."""

    @property
    def id(self) -> str:
        """Of the question."""
        ...

    @property
    def question(self) -> str:
        """Plain text."""
        ...

    @property
    def ground_truths(self) -> Sequence[str]:
        """Texts of which any counts as right."""
        ...


def trajectory_file(folder: Path, cells: int) -> Path:
    """Where the answers at one budget are."""
    return answers_file(folder, _name(cells))


def _name(cells: int) -> str:
    return f"{cells:05d}"


def answer_trajectory(
    records: Iterable[PoolRecord],
    model: ZoomModel,
    cells: Sequence[int],
    folder: Path,
    *,
    run: AnswerRun | None = None,
    exact: bool = True,
    max_new_tokens: int = 32,
    say: Say | None = None,
) -> dict[int, AnswerReport]:
    """Direct answers at each budget, one file each; a killed run goes on where it was.

    Args:
        records: The pool; gone through once for each budget.
        cells: Budgets per picture.
        exact: Give every picture exactly its budget, enlarged if need be.
        say: Takes lines of progress.

    Raises:
        ConfigError: If a budget comes twice.
        LabelError: As `answer_pool`.
    """
    if len(set(cells)) != len(cells):
        raise ConfigError(f"budgets {list(cells)} hold one twice; give each once")
    answerers = {
        _name(budget): direct_answerer(model, budget, exact=exact, max_new_tokens=max_new_tokens)
        for budget in sorted(cells)
    }
    reports = answer_each(records, answerers, folder, run, say)
    return {budget: reports[_name(budget)] for budget in sorted(cells)}


def read_trajectories(
    records: Iterable[KnownRecord], path_of: Mapping[int, Path]
) -> Iterator[Trajectory]:
    """Trajectories of the records that every file answers, in order.

    Args:
        path_of: File of answers at each budget of cells.

    Raises:
        LabelError: If a file is missing or damaged, or there are fewer than three.
    """
    with ExitStack() as stack:
        cells = sorted(path_of)
        indexes = [stack.enter_context(AnswerIndex(path_of[budget])) for budget in cells]
        for record in records:
            if all(record.id in index for index in indexes):
                answers = tuple(
                    index.answer_to(record.id, record.question).text for index in indexes
                )
                yield Trajectory(record.id, tuple(cells), answers, tuple(record.ground_truths))


def crop_fix_samples(
    records: Iterable[KnownRecord],
    direct: Path,
    zoomed: Path,
    cells: int,
    rule: AnswerRule | None = None,
) -> Iterator[GateSample]:
    """Labels for whether a crop mends the answer, of the records that both files answer.

    Unlike the published labels these ask about the crop itself, not about a higher resolution of
    the whole picture. Where the zoom found no region, it mends nothing.

    Args:
        direct: Direct answers.
        zoomed: Answers with zoom always on.
        cells: Budget that both were given, and that the gate will be shown.
        rule: How answers are compared with ground truths; the strict rule by default.
    """
    rule = rule or strict_rule()
    for record, one, other in _side_by_side(records, direct, zoomed):
        mended = other.zoomed and rule.right(other.text, record.ground_truths)
        label = crop_fix_label(rule.right(one.text, record.ground_truths), mended)
        yield GateSample(record.id, cells, label)


def read_outcomes(
    records: Iterable[KnownRecord], direct: Path, gated: Path, rule: AnswerRule | None = None
) -> Iterator[RoutedOutcome]:
    """What each route would have given, of the records that both files answer.

    Args:
        direct: Direct answers.
        gated: Answers of a run that asked the gate and zoomed always (`gate_threshold=0`).
        rule: How answers are compared with ground truths; the strict rule by default.

    Raises:
        LabelError: If a row of `gated` has no gate probability.
    """
    rule = rule or strict_rule()
    for record, one, other in _side_by_side(records, direct, gated):
        if other.gate_probability is None:
            raise LabelError(f"{gated} has no gate probability for {record.id!r}; ask the gate")
        direct_right, zoom_right = (
            rule.right(row.text, record.ground_truths) for row in (one, other)
        )
        yield RoutedOutcome(other.gate_probability, direct_right, zoom_right)


def _side_by_side(
    records: Iterable[KnownRecord], one: Path, other: Path
) -> Iterator[tuple[KnownRecord, AnswerRow, AnswerRow]]:
    with AnswerIndex(one) as first, AnswerIndex(other) as second:
        for record in records:
            if record.id in first and record.id in second:
                asked = record.id, record.question
                yield record, first.answer_to(*asked), second.answer_to(*asked)
