"""Training one branch of a model: from a command's arguments to an adapter."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import torch
from torch import nn

from qzoom.checkpoints.adapter import save_adapter
from qzoom.data.images import ImageRoots
from qzoom.loading import load
from qzoom.settings import read_settings_file
from qzoom.train.branch_recipes import BranchRecipe, loop_settings
from qzoom.train.fresh_branches import with_branches
from qzoom.train.loop import Stage, run_stage
from qzoom.train.low_rank import Branch, merge_low_rank, start_low_rank
from qzoom.train.parallel import own_device, processes
from qzoom.train.record import record_training
from qzoom.zoom.effort import EffortThresholds
from qzoom.zoom.model import ZoomModel

L = TypeVar("L")
R = TypeVar("R", bound=BranchRecipe)


@dataclasses.dataclass(frozen=True)
class Job(Generic[L]):
    """What to train on what, and where to.

    labels: as the stage takes them; model: folder or hub id, None for the embedded one; recipe: a
    YAML file, None for the paper's; adapter: branches to start from in place of the model's own.
    """

    labels: L
    images: ImageRoots
    out: Path
    model: str | None = None
    recipe: Path | None = None
    workers: int = 1
    device: str | None = None
    dtype: str | None = None
    adapter: Path | None = None


class BranchStage(Stage, Protocol):
    """A stage that knows what it trains."""

    modules: dict[str, nn.Module]


def train_branch(
    job: Job[L],
    branch: Branch,
    kind: type[R],
    stage_of: Callable[[ZoomModel, R], tuple[BranchStage, int]],
) -> Path:
    """Train a branch and write the adapter; a stopped training goes on where it was.

    A plain backbone is given both branches first, and a model without a gate one to train.

    Args:
        kind: The recipe's dataclass.
        stage_of: Makes the stage, and counts the samples of an epoch.

    Returns:
        folder of the adapter.

    Raises:
        QZoomError: for labels, a model or a recipe that cannot be used.
    """
    recipe = kind()
    if job.recipe is not None:
        recipe = read_settings_file(job.recipe, kind, "recipe")
    torch.manual_seed(recipe.seed)
    together = processes(job.device)
    device, where = own_device(job.device), dataclasses.asdict(recipe.branches)
    rank = where.pop("lora_rank")
    loaded = load(job.model, adapter=job.adapter, dtype=job.dtype or "float32", device=device)
    checkpoint = with_branches(loaded.checkpoint, needs_gate=branch == "gate", **where)
    model = ZoomModel(start_low_rank(checkpoint, branch, rank))
    stage, samples = stage_of(model, recipe)
    settings = loop_settings(recipe, samples, job.workers)
    if together.writes:
        record_training(job.out, vars(job), dataclasses.asdict(recipe), settings.steps)
    run_stage(stage, stage.modules, settings, job.out / stage.name)
    # Levels of effort were chosen for the branches as they were.
    config = dataclasses.replace(model.config, effort_thresholds=EffortThresholds())
    checkpoint = dataclasses.replace(model.checkpoint, config=config)
    if together.writes:
        save_adapter(job.out / "adapter", merge_low_rank(checkpoint, branch))
    together.wait()
    return job.out / "adapter"
