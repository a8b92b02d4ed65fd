"""`qzoom label gate`: a pool answered, judged, and written as rows to learn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, Protocol, TypeVar

from qzoom.data.files import replacing
from qzoom.errors import LabelError
from qzoom.labels.answer_files import answer_each, answers_file
from qzoom.labels.answerers import direct_answerer, zoom_answerer
from qzoom.labels.answers import AnswerReport, AnswerRun
from qzoom.labels.consistency import TOP, VERDICTS, AnswerRule, judge_trajectory, strict_rule
from qzoom.labels.gate_rows import Budget, ConsistencyRow, CropFixRow, GateRow, NaiveRow
from qzoom.labels.gate_samples import naive_labels
from qzoom.labels.jsonl import encode_row, write_json
from qzoom.labels.pool import PoolQuestion, QuestionPool
from qzoom.labels.trajectories import (
    answer_trajectory,
    crop_fix_samples,
    read_trajectories,
    trajectory_file,
)
from qzoom.labels.tristate import IGNORE
from qzoom.progress import Say
from qzoom.zoom.model import ZoomModel

GateLabelKind = Literal["consistency", "crop-fix", "naive"]

ROWS_FILE: Final = "gate.jsonl"
SUMMARY_FILE: Final = "summary.json"

_CROP_FIX_OUTCOMES: Final = MappingProxyType({0: "easy", 1: "hard", IGNORE: "neither is right"})
_OUTCOMES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "consistency": VERDICTS,
        "naive": ("right", "wrong"),
        "crop-fix": tuple(_CROP_FIX_OUTCOMES.values()),
    }
)


class _Named(Protocol):
    @property
    def id(self) -> str: ...


N = TypeVar("N", bound=_Named)


@dataclass(frozen=True)
class GateLabelPlan:
    """How gate labels are made.

    Args:
        kind: "consistency": from answers at rising resolutions (sec. III-B); "naive": the same
            answers without the filter; "crop-fix": whether the crop mends the direct answer.
        cells: Budgets of the resolutions; of no use to "crop-fix".
        rule: How answers are compared.
        run: Batches and limits.
        max_new_tokens: Longest answer.

    Raises:
        LabelError: If there are fewer than three resolutions.
    """

    kind: GateLabelKind = "consistency"
    cells: tuple[int, ...] = ()
    rule: AnswerRule = field(default_factory=strict_rule)
    run: AnswerRun = field(default_factory=AnswerRun)
    max_new_tokens: int = 32

    def __post_init__(self) -> None:
        if self.kind != "crop-fix" and len(self.cells) <= TOP:
            raise LabelError(
                f"{len(self.cells)} resolutions are given and the {TOP} highest must agree; give "
                f"at least {TOP + 1}"
            )


def label_gate(
    pool: QuestionPool, model: ZoomModel, folder: Path, plan: GateLabelPlan, say: Say
) -> dict[str, Any]:
    """Answer the pool, then write `gate.jsonl` and `summary.json`; what is answered already stays.

    Returns:
        the summary.

    Raises:
        ConfigError: If the folder's answers were made under other settings.
        LabelError: If too many questions cannot be answered.
    """
    counts: Counter[str] = Counter()
    reports: Mapping[Any, AnswerReport]
    if plan.kind == "crop-fix":
        # In whole cells, so that training shows exactly what was answered.
        model = model.with_budget(max_cells=model.pipeline.budget_cells[1])
        answerers = {
            "direct": direct_answerer(model, max_new_tokens=plan.max_new_tokens),
            "zoomed": zoom_answerer(model, max_new_tokens=plan.max_new_tokens),
        }
        reports = answer_each(pool, answerers, folder, plan.run, say)
        rows = _crop_fix_rows(pool, model.pipeline.budget_cells, folder, plan.rule, counts)
    else:
        reports = answer_trajectory(
            pool,
            model,
            plan.cells,
            folder,
            run=plan.run,
            max_new_tokens=plan.max_new_tokens,
            say=say,
        )
        rows = _rising_rows(pool, folder, plan, counts)
    with replacing(folder / ROWS_FILE, resumable=True) as file:
        file.writelines(encode_row(row.to_json()) for row in rows)
    summary = _summary(model, plan, reports, counts)
    write_json(folder / SUMMARY_FILE, summary)
    return summary


def _rising_rows(
    pool: QuestionPool, folder: Path, plan: GateLabelPlan, counts: Counter[str]
) -> Iterator[GateRow]:
    path_of = {cells: trajectory_file(folder, cells) for cells in plan.cells}
    for asked, trajectory in _beside(pool, read_trajectories(pool, path_of)):
        named = (asked.id, asked.image, asked.question)
        if plan.kind == "naive":
            labels = naive_labels(trajectory, plan.rule)
            counts.update("wrong" if label else "right" for label in labels)
            yield NaiveRow(*named, trajectory.cells[: len(labels)], labels)
            continue
        verdict = judge_trajectory(trajectory, plan.rule)
        counts[verdict.name] += 1
        if verdict.outcome != "dropped":
            yield ConsistencyRow(*named, trajectory.cells, verdict.wrong)


def _crop_fix_rows(
    pool: QuestionPool, budget: Budget, folder: Path, rule: AnswerRule, counts: Counter[str]
) -> Iterator[GateRow]:
    direct, zoomed = (answers_file(folder, name) for name in ("direct", "zoomed"))
    samples = crop_fix_samples(pool, direct, zoomed, budget[1], rule)
    for asked, sample in _beside(pool, samples):
        counts[_CROP_FIX_OUTCOMES[sample.label]] += 1
        if sample.label != IGNORE:
            yield CropFixRow(asked.id, asked.image, asked.question, budget, sample.label)


def _beside(pool: Iterable[PoolQuestion], found: Iterable[N]) -> Iterator[tuple[PoolQuestion, N]]:
    """What was found, in the pool's order but not of every question, beside its question."""
    asked = iter(pool)
    for item in found:
        yield next(question for question in asked if question.id == item.id), item


def _summary(
    model: ZoomModel,
    plan: GateLabelPlan,
    reports: Mapping[Any, AnswerReport],
    counts: Counter[str],
) -> dict[str, Any]:
    rows = {name: counts[name] for name in _OUTCOMES[plan.kind]}
    return {
        "settings": {
            "model": model.name,
            "labels": plan.kind,
            "rule": plan.rule.name,
            "cells": list(plan.cells) or list(model.pipeline.budget_cells),
            "max_new_tokens": plan.max_new_tokens,
            "batch_size": plan.run.batch_size,
            "most_bad": plan.run.limit.share,
        },
        "questions": max(report.records for report in reports.values()),
        "failed": {str(name): report.failed for name, report in reports.items()},
        "first_failures": [reason for report in reports.values() for reason in report.reasons],
        "outcomes": rows,
    }
