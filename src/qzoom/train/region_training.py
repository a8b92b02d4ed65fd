"""`qzoom train region`: labels in, an adapter out."""

from __future__ import annotations

from pathlib import Path

from qzoom.train.branch_job import Job, train_branch
from qzoom.train.branch_recipes import RegionRecipe
from qzoom.train.label_index import LabelIndex
from qzoom.train.region_stage import RegionStage
from qzoom.zoom.model import ZoomModel


def train_region(job: Job[tuple[Path, ...]]) -> Path:
    """Train the region branch and write the adapter; a stopped training goes on where it was.

    Returns:
        folder of the adapter.

    Raises:
        QZoomError: for labels, a model or a recipe that cannot be used.
    """

    def stage_of(model: ZoomModel, recipe: RegionRecipe) -> tuple[RegionStage, int]:
        index = LabelIndex.merged(job.labels, recipe.turns)
        stage = RegionStage(model, index, job.images, recipe.batch_size, recipe.seed)
        return stage, len(index.dialogues)

    return train_branch(job, "region", RegionRecipe, stage_of)
