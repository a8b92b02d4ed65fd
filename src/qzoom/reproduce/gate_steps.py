"""Stage 3 of a reproduction: three kinds of gate labels, a gate for each, and what it decides."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import Any, Final

import torch

from qzoom.eval.bootstrap import clustered_mean
from qzoom.labels.answers import AnswerRun
from qzoom.labels.calibration import auroc
from qzoom.labels.gate_labels import ROWS_FILE, GateLabelKind, GateLabelPlan, label_gate
from qzoom.labels.gate_samples import crop_fix_label
from qzoom.labels.operating_points import OperatingPoint, RoutedOutcome, operating_curve
from qzoom.loading import load
from qzoom.reproduce.measure import AnswerRecord
from qzoom.reproduce.region_steps import limited_pool, write_recipe
from qzoom.reproduce.settings import ReproduceSettings
from qzoom.reproduce.workspace import Outcome, Workspace
from qzoom.train.branch_job import Job
from qzoom.train.gate_training import train_gate

KINDS: Final[tuple[GateLabelKind, ...]] = ("consistency", "naive", "crop-fix")


def gate_labels(
    space: Workspace, settings: ReproduceSettings, trunk: str, adapter: str, kind: GateLabelKind
) -> Outcome:
    """Rows for the gate; the two kinds made of rising resolutions share their answers."""
    amounts, model = settings.amounts, load(space / trunk, adapter=space / adapter)
    crop = kind == "crop-fix"
    folder = space / ("gate-crop" if crop else "gate-rising")
    plan = GateLabelPlan(
        kind=kind,
        cells=() if crop else settings.gate_cells,
        run=AnswerRun(batch_size=16),
        max_new_tokens=8,
    )
    count = amounts.crop_questions if crop else amounts.rising_questions
    found = label_gate(limited_pool(space / "train", count), model, folder, plan, _say)
    shutil.copyfile(folder / ROWS_FILE, space / f"gate-{kind}.jsonl")
    return found


def gate(
    space: Workspace,
    settings: ReproduceSettings,
    trunk: str,
    adapter: str,
    kinds: Sequence[GateLabelKind],
    name: str,
) -> Outcome:
    """What 'qzoom train gate' does with the rows of some kinds."""
    job: Job[tuple[Any, ...]] = Job(
        labels=tuple(space / f"gate-{kind}.jsonl" for kind in kinds),
        images=space / "train",
        out=space / name,
        model=str(space / trunk),
        recipe=write_recipe(space / f"{name}.yaml", settings.gate),
        workers=settings.workers,
        adapter=space / adapter,
    )
    train_gate(job)
    return {"labels": list(kinds)}


def judged(direct: Sequence[AnswerRecord], gated: Sequence[AnswerRecord]) -> dict[str, Any]:
    """What a gate's probabilities are worth.

    Args:
        direct: Answers without a crop.
        gated: Answers to the same questions, all zoomed, with the gate asked.

    Returns:
        AUROC against "the crop mends the answer"; at the threshold that skips the most and costs
        at most a point of accuracy against always zooming: threshold, share skipped, of easy
        questions too, accuracy and the paired difference; and the whole curve.
    """
    pairs = list(zip(direct, gated, strict=True))
    probabilities = [_probability(row) for row in gated]
    labels = [crop_fix_label(one.right, two.zoomed and two.right) for one, two in pairs]
    outcomes = [
        RoutedOutcome(p, one.right, two.right)
        for p, (one, two) in zip(probabilities, pairs, strict=True)
    ]
    curve = operating_curve(outcomes)
    always = sum(row.right for row in gated) / len(gated)
    chosen = next(point for point in curve if point.accuracy >= always - 0.01)
    routed = [p >= chosen.threshold for p in probabilities]
    sides = list(zip(routed, direct, gated, strict=True))
    right = [two.right if zoom else one.right for zoom, one, two in sides]
    lost = [float(mine) - float(two.right) for mine, two in zip(right, gated, strict=True)]
    easy = [zoom for zoom, one, _ in sides if one.right]
    return {
        "auroc": round(auroc(torch.tensor(probabilities), torch.tensor(labels)), 4),
        "threshold": chosen.threshold,
        "skipped": round(1 - sum(routed) / len(routed), 4),
        "easy_skipped": round(1 - sum(easy) / max(1, len(easy)), 4),
        "accuracy": round(sum(right) / len(right), 4),
        "minus_always": clustered_mean(lost, [row.scene for row in gated]).to_json(),
        "curve": _thinned(curve),
    }


def _thinned(curve: Sequence[OperatingPoint]) -> list[dict[str, float]]:
    """About 100 points of a curve, its ends among them."""
    kept = list(curve[:: max(1, len(curve) // 100)])
    if kept[-1] is not curve[-1]:
        kept.append(curve[-1])
    return [{"zoomed": round(p.zoomed, 4), "accuracy": round(p.accuracy, 4)} for p in kept]


def _probability(row: AnswerRecord) -> float:
    assert row.gate_probability is not None
    return row.gate_probability


def _say(line: str) -> None:
    sys.stderr.write(f"   {line}\n")
