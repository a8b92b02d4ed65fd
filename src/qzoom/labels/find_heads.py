"""From boxed records to head scores: answer, mark the answer's cells, measure every head."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import torch
from torch import Tensor

from qzoom.data.images import ImageFolder
from qzoom.data.records import PixelBox, Record, Turn
from qzoom.errors import DataError, ImageError
from qzoom.geometry.boxes import pixels_to_cells
from qzoom.labels.attention import HeadSet
from qzoom.labels.heads import BoxedSample, HeadScores, score_heads
from qzoom.labels.presets import HeadPreset
from qzoom.labels.region import RegionLabeller, RegionSample
from qzoom.labels.region_settings import RegionLabelSettings
from qzoom.zoom.model import ZoomModel

NO_HEADS = HeadPreset(textual=HeadSet({}), natural=HeadSet({}))


def find_heads(
    model: ZoomModel, records: Iterable[Record], images: ImageFolder, *, samples: int, cells: int
) -> HeadScores:
    """Measure every head on the first turns with answer boxes, pictures in their own shape.

    Records without boxes, and pictures that cannot be opened, are passed over.

    Raises:
        ConfigError: When no turn has a box.
    """
    settings = RegionLabelSettings(layout="native", cells=cells, max_new_tokens=32)
    labeller = RegionLabeller(model, NO_HEADS, settings)
    boxed = islice(_boxed(records, images, labeller), samples)
    return score_heads(labeller.model.parts, boxed)


def boxed_cells(
    boxes_px_xyxy: Iterable[PixelBox], image_size_px: tuple[int, int], grid_hw: tuple[int, int]
) -> Tensor:
    """Cells that a box touches, boolean of shape `(cells,)`."""
    inside = torch.zeros(*grid_hw, dtype=torch.bool)
    width, height = image_size_px
    for x1, y1, x2, y2 in boxes_px_xyxy:
        shown = (max(x1, 0), max(y1, 0), min(x2, width), min(y2, height))
        if shown[0] < shown[2] and shown[1] < shown[3]:
            box = pixels_to_cells(shown, grid_hw, image_size_px)
            inside[box.y1 : box.y2, box.x1 : box.x2] = True
    return inside.flatten()


def _boxed(
    records: Iterable[Record], images: ImageFolder, labeller: RegionLabeller
) -> Iterator[BoxedSample]:
    for record in records:
        for turn in record.turns:
            if turn.boxes_px_xyxy and (sample := _sample(record, turn, images, labeller)):
                yield sample


def _sample(
    record: Record, turn: Turn, images: ImageFolder, labeller: RegionLabeller
) -> BoxedSample | None:
    try:
        image = images.open(record.images[0])
    except (DataError, ImageError):
        return None
    asked = RegionSample(record.id, record.images[0], image, turn.question, "textual")
    (found,) = labeller.respond([asked])
    if not found.asking:
        return None
    inside = boxed_cells(turn.boxes_px_xyxy, image.size, found.layout.grids_hw[0])
    return BoxedSample(found.layout, tuple(found.features), tuple(found.asking), inside)
