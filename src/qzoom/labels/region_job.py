"""One run of `qzoom label region` as plain values, which can be sent to another machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qzoom.data.images import ImageFolder
from qzoom.data.jsonl import read_records
from qzoom.labels.pipeline import Counts, Plan, Report, label_records
from qzoom.labels.presets import HeadPreset
from qzoom.labels.region import RegionLabeller
from qzoom.labels.region_settings import RegionLabelSettings
from qzoom.labels.store import LabelStore
from qzoom.loading import load


@dataclass(frozen=True)
class RegionJob:
    """What is labelled with what, and where to.

    model: folder or hub id, None for the embedded one; shard_size, batch_size, most_bad: as in
    `Plan`.
    """

    records: Path
    images: Path
    out: Path
    heads: HeadPreset
    settings: RegionLabelSettings
    shard_size: int = 512
    batch_size: int = 8
    most_bad: float = 0.05
    model: str | None = None
    device: str | None = None
    dtype: str | None = None

    def shards(self) -> int:
        """How many shards the records make."""
        questions = sum(len(record.turns) for record in read_records(self.records))
        return -(-questions // self.shard_size)


class JobRunner:
    """A job with its model loaded, to run it in parts."""

    def __init__(self, job: RegionJob) -> None:
        """Load the model and open the folder of labels.

        Raises:
            QZoomError: For a model, heads or a folder that cannot be used.
        """
        self.job = job
        model = load(job.model, device=job.device, dtype=job.dtype)
        stored = {"model": model.name, **job.settings.to_json(job.heads)}
        self.store = LabelStore(job.out, stored)
        self.labeller = RegionLabeller(model, job.heads, job.settings)

    def run(self, part: int = 0, parts: int = 1, report: Report = lambda line: None) -> Counts:
        """Label every `parts`-th shard, from `part` on.

        Raises:
            DataError: As `label_records`.
        """
        job = self.job
        plan = Plan(job.shard_size, job.batch_size, part, parts, job.most_bad)
        records, images = read_records(job.records), ImageFolder(job.images)
        return label_records(records, images, self.labeller, self.store, plan, report)
