"""A pool answered in several ways, one file each, with progress."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from qzoom.labels.answers import Answerer, AnswerReport, AnswerRun, PoolRecord, answer_pool
from qzoom.progress import Progress, Say


def answers_file(folder: Path, name: str) -> Path:
    """Where the answers of one way are."""
    return folder / f"answers-{name}.jsonl"


def answer_each(
    records: Iterable[PoolRecord],
    answerers: Mapping[str, Answerer],
    folder: Path,
    run: AnswerRun | None = None,
    say: Say | None = None,
) -> dict[str, AnswerReport]:
    """Answer a pool with each answerer in turn; a killed run goes on where it was.

    Args:
        records: Gone through once for each answerer.
        answerers: By the name of their file.
        say: Takes lines of progress.

    Raises:
        ConfigError, LabelError: As `answer_pool`.
    """
    total = sum(1 for _ in records) if say else 0
    return {
        name: answer_pool(
            records,
            answer,
            answers_file(folder, name),
            run,
            watch(f"answers {name}", total, say) if say else None,
        )
        for name, answer in answerers.items()
    }


def watch(name: str, total: int, say: Say) -> Callable[[AnswerReport], None]:
    """Progress of `answer_pool` over `total` questions, to be called after each batch."""
    progress = Progress(name, total, say)

    def after_batch(report: AnswerReport) -> None:
        worked = report.answered + report.failed
        note = f", {report.failed} failed" if report.failed else ""
        progress.update(report.known + worked, worked, note)

    return after_batch
