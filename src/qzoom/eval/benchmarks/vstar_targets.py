"""Where the targets of V* are: a JSON file beside each picture of the original folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from qzoom.data import fields
from qzoom.errors import DataError, ImageError
from qzoom.geometry.boxes import BoxLike
from qzoom.images.decode import decode_image


def target_boxes(image: Path) -> tuple[BoxLike, ...]:
    """Boxes of the targets in pixels, cut to the picture; none without a file or a picture.

    The file gives them as x, y, width and height.

    Raises:
        DataError: when the file cannot be read, or a box is empty or outside the picture.
    """
    annotation = image.with_suffix(".json")
    if not annotation.is_file():
        return ()
    try:
        width_px, height_px = decode_image(image).size
    except ImageError:  # whoever asks about the picture says so
        return ()
    try:
        boxes = fields.items(fields.required(_object(annotation), "bbox"), "bbox")
        return tuple(_cut(box, f"bbox[{i}]", width_px, height_px) for i, box in enumerate(boxes))
    except DataError as error:
        raise DataError(f"{annotation}: {error}") from None


def _object(path: Path) -> dict[str, Any]:
    try:
        return fields.mapping(json.loads(path.read_bytes()), "the file")
    except (OSError, ValueError, RecursionError):
        raise DataError("the file is no JSON") from None


def _cut(value: object, name: str, width_px: int, height_px: int) -> BoxLike:
    numbers = [fields.number(each, name) for each in fields.items(value, name)]
    if len(numbers) != 4:
        raise DataError(f"{name} must have 4 numbers (x, y, width, height), got {len(numbers)}")
    x, y, width, height = numbers
    cut = max(x, 0.0), max(y, 0.0), min(x + width, width_px), min(y + height, height_px)
    if cut[0] >= cut[2] or cut[1] >= cut[3]:
        raise DataError(
            f"{name} (x, y, width, height) is {numbers}: nothing of it is inside the picture of "
            f"{width_px}x{height_px} px"
        )
    return cut
