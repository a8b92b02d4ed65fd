"""Every stage on a handful of scenes with the embedded model: it runs, resumes, and reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

import qzoom
from qzoom.cli import main

ONE_STEP = {"batch_size": 4, "epochs": 0.1, "optim": {"adamw_lr": 1.0e-5}}
BRANCHES = {"branches": {"max_crop_cells": 128}}
RECIPE = {
    "amounts": {
        "train_scenes": 6,
        "head_scenes": 3,
        "tune_scenes": 8,
        "test_scenes": 4,
        "ablation_scenes": 2,
        "rising_questions": 8,
        "crop_questions": 24,
    },
    "labels": {"layout": "native", "cells": 64, "max_new_tokens": 8, "sinks": "none"},
    "region": ONE_STEP | BRANCHES,
    "refit": ONE_STEP,
    "ablation": ONE_STEP | BRANCHES,
    "mining": {"target": "ground_truth", "improvements": 8.0, "misses": 8.0},
    "sft": ONE_STEP,
    "gate": ONE_STEP | {"easy_per_hard": 4.0},
    "gate_cells": [16, 25, 36, 49, 64, 81],
    "workers": 0,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("reproduce")
    (made / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    assert main(arguments(made)) == 0
    return made


def arguments(folder: Path) -> list[str]:
    recipe = str(folder / "recipe.yaml")
    return ["reproduce", "tiny", "--out", str(folder / "run"), "--recipe", recipe]


def test_every_table_is_there(folder: Path) -> None:
    results = json.loads((folder / "run" / "results.json").read_text())
    tables = {"stages", "boxes", "depth", "rules", "gates"}
    assert set(results) == tables | {"command", "environment", "answers", "settings", "steps"}
    rows = results["stages"]["rows"]
    assert len(rows) == 7
    assert all(
        row["accuracy"]["samples"] == results["stages"]["questions"] for row in rows.values()
    )
    assert rows["direct, coarse"]["zoomed"] == 0.0
    assert rows["direct, full"]["mean_visual_tokens"] > rows["direct, coarse"]["mean_visual_tokens"]
    assert set(results["gates"]) == {"consistency", "naive", "crop-fix"}
    tables = (folder / "run" / "tables.md").read_text()
    assert tables.count("### ") == 5
    for name in ("stages.png", "stages.svg", "gates.png", "gates.svg"):
        assert (folder / "run" / name).stat().st_size > 5000


def test_the_finished_model_loads_with_its_levels(folder: Path) -> None:
    model = qzoom.load(folder / "run" / "qzoom-tiny")
    assert set(model.config.effort_thresholds) == {"low", "medium", "high"}
    mined = (folder / "run" / "mined.jsonl").read_text()
    assert json.loads((folder / "run" / "steps" / "sft.json").read_text())["trained"] == bool(mined)


def test_a_second_run_does_nothing_again_and_other_settings_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in (folder / "run" / "steps").iterdir()}
    assert main(arguments(folder)) == 0
    assert before == {path: path.stat().st_mtime_ns for path in before}
    other = folder / "other.yaml"
    other.write_text(yaml.safe_dump(RECIPE | {"heads_kept": 2}))
    capsys.readouterr()
    assert main(["reproduce", "tiny", "--out", str(folder / "run"), "--recipe", str(other)]) == 2
    assert "was begun with other settings" in capsys.readouterr().err
