"""Region labels on a Ray cluster: actors that each hold a model take one shard after another.

Every shard is a part of its own (`--part`, `--parts`), so the files are those of a plain run. All
machines need qzoom installed, and records, images, model and labels under the same paths.
"""

from __future__ import annotations

import dataclasses
import os
from functools import cached_property
from importlib import import_module
from typing import Any

import torch

from qzoom.errors import ConfigError, LabelError
from qzoom.labels.pipeline import Counts, Report
from qzoom.labels.region_job import JobRunner, RegionJob


class ShardActor:
    """A job whose model is loaded by the first shard: errors of a constructor lose their cause."""

    def __init__(self, job: RegionJob) -> None:
        self._job = job

    @cached_property
    def _runner(self) -> JobRunner:
        return JobRunner(self._job)

    def run(self, shard: int, shards: int) -> Counts:
        """Label one shard, unless it is committed."""
        return self._runner.run(shard, shards)


def label_with_ray(job: RegionJob, actors: int, report: Report = lambda line: None) -> Counts:
    """Label all shards that are not committed yet.

    Joins the cluster that RAY_ADDRESS names, or starts Ray on this machine. With "cuda" each actor
    takes one GPU.

    Args:
        actors: Most models at work at a time.

    Raises:
        ConfigError: When Ray is not installed.
        LabelError: When an actor was lost; what was committed stays.
        QZoomError: As a plain run.
    """
    ray, errors = _module("ray"), _module("ray.exceptions")
    shards = job.shards()
    gpus = 1 if torch.device(job.device or "cpu").type == "cuda" else 0
    total = Counts()
    # Unless the user says otherwise, nothing is reported to Ray's makers.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(ignore_reinit_error=True)
    try:
        remote = ray.remote(num_gpus=gpus)(ShardActor)
        runners = [remote.remote(job) for _ in range(min(actors, shards))]
        found = (
            _module("ray.util")
            .ActorPool(runners)
            .map_unordered(lambda runner, shard: runner.run.remote(shard, shards), range(shards))
        )
        for number, counts in enumerate(found, start=1):
            total = _sum(total, counts)
            report(f"{number}/{shards} shards: {total.labelled} questions labelled")
    except errors.RayTaskError as error:
        raise error.cause from None
    except errors.RayError as error:
        first = str(error).strip().splitlines()[0]
        raise LabelError(f"a Ray actor was lost: {first}; run again to go on") from None
    finally:
        ray.shutdown()
    return total


def _sum(one: Counts, other: Counts) -> Counts:
    names = [field.name for field in dataclasses.fields(Counts)]
    return Counts(**{name: getattr(one, name) + getattr(other, name) for name in names})


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError:
        raise ConfigError("--ray needs Ray: pip install 'qzoom[ray]'") from None
