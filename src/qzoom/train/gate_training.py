"""`qzoom train gate`: files of gate labels in, an adapter out."""

from __future__ import annotations

from pathlib import Path

from qzoom.train.branch_job import Job, train_branch
from qzoom.train.branch_recipes import GateRecipe
from qzoom.train.gate_looks import GateLooks
from qzoom.train.gate_stage import GateStage
from qzoom.zoom.model import ZoomModel


def train_gate(job: Job[tuple[Path, ...]]) -> Path:
    """Train the gate branch and write the adapter; a stopped training goes on where it was.

    Returns:
        folder of the adapter.

    Raises:
        QZoomError: for labels, a model or a recipe that cannot be used.
    """

    def stage_of(model: ZoomModel, recipe: GateRecipe) -> tuple[GateStage, int]:
        looks = GateLooks.open(job.labels, recipe.batch_size, recipe.draw)
        return GateStage(model, looks, job.images), len(looks.rows)

    return train_branch(job, "gate", GateRecipe, stage_of)
