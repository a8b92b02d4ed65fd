"""`qzoom train region`: labels in, an adapter out."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import torch

from qzoom.checkpoints.adapter import save_adapter
from qzoom.data.files import replacing
from qzoom.loading import load
from qzoom.settings import read_settings_file
from qzoom.train.branch_recipes import RegionRecipe, loop_settings
from qzoom.train.fresh_branches import with_branches
from qzoom.train.label_index import LabelIndex
from qzoom.train.loop import run_stage
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
    where = recipe.branches
    model = ZoomModel(with_branches(loaded.checkpoint, where.split_layer, where.branch_depth))
    index = LabelIndex.open(job.labels, recipe.turns)
    settings = loop_settings(recipe, len(index.dialogues), job.workers)
    _record(job, recipe, settings.steps)
    stage = RegionStage(model, index, job.images, recipe.batch_size, recipe.seed)
    run_stage(stage, stage.modules, settings, job.out / "region")
    return save_adapter(job.out / "adapter", model.checkpoint)


def _record(job: Job, recipe: RegionRecipe, steps: int) -> None:
    """Print the resolved recipe and keep it beside the training."""
    content = {"job": vars(job), "recipe": dataclasses.asdict(recipe), "steps": steps}
    text = json.dumps(content, indent=2, default=str) + "\n"
    with replacing(job.out / "training.json", resumable=True) as file:
        file.write(text.encode())
    sys.stderr.write(text)
