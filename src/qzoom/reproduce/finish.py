"""The finished model: trunk, branches and levels of effort in one folder."""

from __future__ import annotations

import dataclasses
import sys

from qzoom.checkpoints.save import save_checkpoint
from qzoom.data.readers.synth import write_scenes
from qzoom.labels.answers import AnswerRun
from qzoom.labels.calibrate import CalibrationPlan, calibrate
from qzoom.loading import load
from qzoom.reproduce.region_steps import pool_of
from qzoom.reproduce.settings import ReproduceSettings
from qzoom.reproduce.workspace import Outcome, Workspace

MODEL = "qzoom-tiny"


def finish(space: Workspace, settings: ReproduceSettings, trunk: str, adapter: str) -> Outcome:
    """Calibrate on fresh scenes and write the model, in bfloat16 as the embedded one is."""
    tune = space / "tune"
    write_scenes(tune, settings.amounts.tune_scenes, "reproduce-tune")
    model = load(space / trunk, adapter=space / adapter)
    plan = CalibrationPlan(run=AnswerRun(batch_size=16), max_new_tokens=8)
    report = calibrate(pool_of(tune), model, space / "calibration", plan, _say)
    levels = report.thresholds
    config = model.config.with_overrides(effort_thresholds=levels, gate_threshold=levels["medium"])
    stored = load(space / trunk, adapter=space / adapter, dtype="bfloat16").checkpoint
    save_checkpoint(space / MODEL, dataclasses.replace(stored, config=config))
    return {"adapter": adapter, "levels": levels, "calibration": report.to_json()}


def _say(line: str) -> None:
    sys.stderr.write(f"   {line}\n")
