"""`qzoom train sft`: samples in, a whole model out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from qzoom.checkpoints.save import save_checkpoint
from qzoom.data.images import ImageRoots, image_folder
from qzoom.loading import load
from qzoom.settings import read_settings_file
from qzoom.train.branch_recipes import loop_settings
from qzoom.train.loop import run_stage
from qzoom.train.parallel import own_device, processes
from qzoom.train.record import record_training
from qzoom.train.sft_recipe import SftRecipe
from qzoom.train.sft_samples import read_samples
from qzoom.train.sft_stage import SftStage
from qzoom.train.sft_weights import settle


@dataclasses.dataclass(frozen=True)
class SftJob:
    """What to train on what, and where to.

    samples: files of `qzoom label mine`, taken together; model: folder or hub id, None for the
    embedded one; adapter: branches in place of its own; recipe: a YAML file, None for the paper's.
    """

    samples: tuple[Path, ...]
    images: ImageRoots
    out: Path
    model: str | None = None
    adapter: Path | None = None
    recipe: Path | None = None
    workers: int = 1
    device: str | None = None
    dtype: str | None = None


def train_sft(job: SftJob) -> Path:
    """Train the trunk and write the model; a stopped training goes on where it was.

    The branches are written as they were: they read states of the trunk as it was before.

    Returns:
        folder of the model.

    Raises:
        QZoomError: for samples, a model or a recipe that cannot be used.
    """
    recipe = SftRecipe()
    if job.recipe is not None:
        recipe = read_settings_file(job.recipe, SftRecipe, "recipe")
    images = image_folder(job.images)
    samples = read_samples(job.samples)
    torch.manual_seed(recipe.seed)
    together, device = processes(job.device), own_device(job.device)
    model = load(job.model, dtype=job.dtype or "float32", device=device, adapter=job.adapter)
    settings = loop_settings(recipe, len(samples), job.workers)
    if together.writes:
        record_training(job.out, vars(job), dataclasses.asdict(recipe), settings.steps)
    stage = SftStage(model, samples, images, recipe)
    run_stage(stage, stage.modules, settings, job.out / stage.name)
    settle(model)
    if together.writes:
        save_checkpoint(job.out / "model", model.checkpoint)
    together.wait()
    return job.out / "model"
