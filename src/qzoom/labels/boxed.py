"""Region labels from answer boxes that are known: no model is asked (Table VII's comparison)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from qzoom.errors import DataError, ImageError
from qzoom.images.pipeline import ImagePipeline
from qzoom.labels.batches import in_batches
from qzoom.labels.failures import DEFAULT_LIMIT, FailureLimit
from qzoom.labels.find_heads import NO_HEADS, boxed_cells
from qzoom.labels.pool import PoolQuestion
from qzoom.labels.region_settings import RegionLabelSettings
from qzoom.labels.store import LabelRow, LabelStore


@dataclass
class BoxedCounts:
    """Questions labelled, those without a box or a readable picture."""

    labelled: int = 0
    without_box: int = 0
    bad_images: int = 0


def label_boxes(
    questions: Iterable[PoolQuestion],
    pipeline: ImagePipeline,
    settings: RegionLabelSettings,
    folder: Path,
    shard_size: int = 512,
    limit: FailureLimit = DEFAULT_LIMIT,
) -> BoxedCounts:
    """Write label shards: cells that an answer box touches are foreground, all others background.

    Committed shards are kept.

    Args:
        pipeline: Of the model to be trained; its budget is replaced by the settings'.
        settings: Layout and cells; "native" only, as boxes are in the picture's own pixels.

    Raises:
        DataError: For the square layout, where a committed shard holds other questions, or when
            more pictures are bad than the limit allows.
    """
    if settings.layout != "native":
        raise DataError("labels from boxes keep the pictures' shape; set layout: native")
    counts, pipeline = BoxedCounts(), settings.budgeted(pipeline)
    store = LabelStore(folder, settings.to_json(NO_HEADS) | {"model": "answer boxes"})
    for shard, own in enumerate(in_batches(_boxed(questions, counts), shard_size)):
        rows = [row for question in own if (row := _row(question, pipeline, counts, limit))]
        if store.has(shard):
            store.check(shard, [str(row.fields["id"]) for row in rows])
        else:
            store.write(shard, rows)
    return counts


def _boxed(questions: Iterable[PoolQuestion], counts: BoxedCounts) -> Iterable[PoolQuestion]:
    for question in questions:
        if question.boxes_px_xyxy:
            yield question
        else:
            counts.without_box += 1


def _row(
    question: PoolQuestion, pipeline: ImagePipeline, counts: BoxedCounts, limit: FailureLimit
) -> LabelRow | None:
    try:
        image = question.folder.open(question.image)
        _, high, wide = pipeline.grid_thw_for_size(image.size)
    except (DataError, ImageError) as error:
        counts.bad_images += 1
        limit.check_pictures(counts.bad_images, counts.bad_images + counts.labelled, str(error))
        return None
    counts.labelled += 1
    grid = (high // pipeline.merge_size, wide // pipeline.merge_size)
    labels: Tensor = boxed_cells(question.boxes_px_xyxy, image.size, grid).view(grid)
    fields = {
        "id": question.id,
        "image": question.image,
        "question": question.question,
        "kind": question.mode,
        "response": question.ground_truths[0] if question.ground_truths else "",
        "grid_hw": list(grid),
        "image_size_px": list(image.size),
        "teaches": bool(labels.any()),
    }
    return LabelRow(fields, {"labels": labels.to(torch.int8)})
