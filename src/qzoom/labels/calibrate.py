"""`qzoom calibrate`: held-out questions answered both ways, a report, levels of effort."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from qzoom.checkpoints.adapter import copy_adapter
from qzoom.checkpoints.save import save_checkpoint
from qzoom.errors import ConfigError
from qzoom.labels.answer_files import answer_each, answers_file
from qzoom.labels.answerers import direct_answerer, zoom_answerer
from qzoom.labels.answers import AnswerRun
from qzoom.labels.calibration_report import CalibrationReport, calibration_report
from qzoom.labels.consistency import AnswerRule, strict_rule
from qzoom.labels.jsonl import write_json
from qzoom.labels.pool import QuestionPool
from qzoom.labels.reliability_plot import save_reliability
from qzoom.labels.trajectories import read_outcomes
from qzoom.loading import load
from qzoom.plotting import require_matplotlib
from qzoom.progress import Say
from qzoom.zoom.model import ZoomModel

REPORT_FILE: Final = "report.json"


@dataclass(frozen=True)
class CalibrationPlan:
    """How a model is calibrated; bins: of the reliability diagram."""

    rule: AnswerRule = field(default_factory=strict_rule)
    run: AnswerRun = field(default_factory=AnswerRun)
    max_new_tokens: int = 32
    bins: int = 15


def calibrate(
    pool: QuestionPool, model: ZoomModel, folder: Path, plan: CalibrationPlan, say: Say
) -> CalibrationReport:
    """Answer, fit and write the report with its pictures; what is answered already stays.

    Raises:
        ConfigError: For a model without a gate, without matplotlib, or where the folder's answers
            were made under other settings.
        LabelError: If too many questions cannot be answered, or they are all of one kind.
    """
    if not model.config.gate_enabled:
        raise ConfigError(
            f"{model.name} has no gate to calibrate; train one with 'qzoom train gate'"
        )
    require_matplotlib()
    tokens = plan.max_new_tokens
    answerers = {
        "direct": direct_answerer(model, max_new_tokens=tokens),
        # A threshold of 0 zooms always and still asks the gate.
        "gated": zoom_answerer(model, ask_gate=True, gate_threshold=0.0, max_new_tokens=tokens),
    }
    reports = answer_each(pool, answerers, folder, plan.run, say)
    direct, gated = (answers_file(folder, name) for name in answerers)
    report = calibration_report(list(read_outcomes(pool, direct, gated, plan.rule)), plan.bins)
    settings = {
        "model": model.name,
        "budget_cells": list(model.pipeline.budget_cells),
        "roi_threshold": model.config.roi_threshold,
        "rule": plan.rule.name,
        "max_new_tokens": tokens,
    }
    failed = {name: counts.failed for name, counts in reports.items()}
    write_json(folder / REPORT_FILE, {"settings": settings, "failed": failed} | report.to_json())
    save_reliability(report, folder)
    return report


def save_levels(
    model: ZoomModel,
    name: str | Path | None,
    adapter: str | Path | None,
    thresholds: Mapping[str, float],
    folder: Path,
) -> Path:
    """Write the adapter, or else the whole model, again with levels of effort.

    Weights are written as they are stored, whatever type and budget they were calibrated in.

    Args:
        name, adapter: as the model was loaded.

    Returns:
        `folder`/adapter or `folder`/model.

    Raises:
        CheckpointError: If it cannot be written.
    """
    config = model.config.with_overrides(effort_thresholds=thresholds)
    if adapter is not None:
        return copy_adapter(adapter, folder / "adapter", config)
    stored: Any = load(name, dtype="auto").checkpoint
    return save_checkpoint(folder / "model", dataclasses.replace(stored, config=config))
