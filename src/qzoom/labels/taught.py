"""Samples that teach reading from records with answer boxes: whole looks, and crops around answers.

Unlike mined samples these show the crop by the answer's own box, so they belong before the region
network: they teach the trunk to read a kind of document at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from qzoom.data.jsonl import write_objects
from qzoom.errors import ConfigError, DataError, ImageError
from qzoom.geometry.boxes import Box, cells_to_pixels, pixels_to_cells
from qzoom.images.pipeline import ImagePipeline
from qzoom.labels.failures import DEFAULT_LIMIT, FailureLimit
from qzoom.labels.pool import PoolQuestion


@dataclass(frozen=True)
class TaughtLooks:
    """How often a question is shown, and how.

    Args:
        crops: Times with a crop around its answer, each cut differently.
        grown_cells: A crop's box is the answer's, grown on each side by up to this many cells.
        full: Times as a whole picture at `full_cells`.
        longest: Longer answers are left out, in characters.

    Raises:
        ConfigError: If a number is negative.
    """

    crops: int = 1
    grown_cells: int = 2
    full: int = 0
    full_cells: int = 1024
    longest: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 0:
                raise ConfigError(f"{name} is {value}; it must be at least 0")


@dataclass
class TaughtCounts:
    """Samples written; questions shown and those without a readable picture."""

    samples: int = 0
    questions: int = 0
    bad_images: int = 0


def write_taught(
    questions: Iterable[PoolQuestion],
    pipeline: ImagePipeline,
    looks: TaughtLooks,
    out: Path,
    limit: FailureLimit = DEFAULT_LIMIT,
) -> TaughtCounts:
    """Write samples as `qzoom train sft` reads them.

    Questions without an answer or a box that lies in the picture are passed over.

    Raises:
        DataError: When more pictures are bad than the limit allows; nothing is written then.
    """
    counts = TaughtCounts()
    counts.samples = write_objects(out, _samples(questions, pipeline, looks, counts, limit))
    return counts


def _samples(
    questions: Iterable[PoolQuestion],
    pipeline: ImagePipeline,
    looks: TaughtLooks,
    counts: TaughtCounts,
    limit: FailureLimit,
) -> Iterator[dict[str, Any]]:
    for question in questions:
        if not question.ground_truths or len(question.ground_truths[0]) > looks.longest:
            continue
        try:
            size_px = question.folder.open(question.image).size
            _, high, wide = pipeline.grid_thw_for_size(size_px)
        except (DataError, ImageError) as error:
            counts.bad_images += 1
            asked = counts.bad_images + counts.questions
            limit.check_pictures(counts.bad_images, asked, str(error))
            continue
        counts.questions += 1
        grid_hw = (high // pipeline.merge_size, wide // pipeline.merge_size)
        row = {
            "id": question.id,
            "image": question.image,
            "question": question.question,
            "target": question.ground_truths[0],
        }
        for _ in range(looks.full):
            yield row | {"box_px_xyxy": None, "cells": looks.full_cells}
        for box in _boxes(question, size_px, grid_hw, looks):
            side_px = pipeline.cell_side_px
            box_px = cells_to_pixels(box, grid_hw, size_px, reference_cell_side_px=side_px)
            yield row | {"box_px_xyxy": list(box_px)}


def _boxes(
    question: PoolQuestion,
    size_px: tuple[int, int],
    grid_hw: tuple[int, int],
    looks: TaughtLooks,
) -> Iterator[Box]:
    """Boxes of cells around the answer, each grown by its own draw."""
    inside = _union_inside(question, size_px)
    if inside is None:
        return
    answer = pixels_to_cells(inside, grid_hw, size_px)
    for time in range(looks.crops):
        rng = Random(f"{looks.seed}/{question.id}/{time}")
        left, top, right, bottom = (rng.randint(0, looks.grown_cells) for _ in range(4))
        yield Box(
            max(0, answer.x1 - left),
            max(0, answer.y1 - top),
            min(grid_hw[1], answer.x2 + right),
            min(grid_hw[0], answer.y2 + bottom),
        )


def _union_inside(
    question: PoolQuestion, size_px: tuple[int, int]
) -> tuple[float, float, float, float] | None:
    """The box around all answer boxes, cut to the picture; None where nothing of it is inside."""
    if not question.boxes_px_xyxy:
        return None
    x1, y1, x2, y2 = zip(*question.boxes_px_xyxy, strict=True)
    box = max(0, min(x1)), max(0, min(y1)), min(size_px[0], max(x2)), min(size_px[1], max(y2))
    return box if box[0] < box[2] and box[1] < box[3] else None
