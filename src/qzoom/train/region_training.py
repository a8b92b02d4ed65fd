"""`qzoom train region`: labels in, an adapter out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from qzoom.checkpoints.adapter import save_adapter
from qzoom.loading import load
from qzoom.settings import read_settings_file
from qzoom.train.branch_recipes import RegionRecipe, loop_settings
from qzoom.train.fresh_branches import with_branches
from qzoom.train.label_index import LabelIndex
from qzoom.train.loop import run_stage
from qzoom.train.record import record_training
from qzoom.train.region_stage import RegionStage
from qzoom.zoom.model import ZoomModel


@dataclasses.dataclass(frozen=True)
class Job:
    """What to train on what, and where to.

    model: folder or hub id, None for the embedded one; recipe: a YAML file, None for the paper's.
    """

    labels: Path
    images: Path
    out: Path
    model: str | None = None
    recipe: Path | None = None
    workers: int = 1
    device: str | None = None
    dtype: str | None = None


def train_region(job: Job) -> Path:
    """Train the region branch and write the adapter; a stopped training goes on where it was.

    Returns:
        folder of the adapter.

    Raises:
        QZoomError: for labels, a model or a recipe that cannot be used.
    """
    recipe = RegionRecipe()
    if job.recipe is not None:
        recipe = read_settings_file(job.recipe, RegionRecipe, "recipe")
    torch.manual_seed(recipe.seed)
    loaded = load(job.model, dtype=job.dtype or "float32", device=job.device)
    model = ZoomModel(with_branches(loaded.checkpoint, **dataclasses.asdict(recipe.branches)))
    index = LabelIndex.open(job.labels, recipe.turns)
    settings = loop_settings(recipe, len(index.dialogues), job.workers)
    record_training(job.out, vars(job), dataclasses.asdict(recipe), settings.steps)
    stage = RegionStage(model, index, job.images, recipe.batch_size, recipe.seed)
    run_stage(stage, stage.modules, settings, job.out / "region")
    return save_adapter(job.out / "adapter", model.checkpoint)
