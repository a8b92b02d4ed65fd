"""Stored attention under another rule: the maps stay, the labels are made anew."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch

from qzoom.data.images import ImageFolder
from qzoom.errors import LabelError
from qzoom.labels.region_settings import RegionLabelSettings, settings_from_json
from qzoom.labels.store import SETTINGS_FILE, LabelRow, LabelStore, read_labels, read_settings
from qzoom.labels.tristate import TriStateRule, picture_cells, tristate_labels


@dataclass
class RelabelCounts:
    """Rows gone through, and those that teach."""

    rows: int = 0
    teaching: int = 0


def relabel(
    source: Path,
    target: Path,
    rule: TriStateRule,
    images: ImageFolder | None = None,
    shard_size: int = 512,
) -> RelabelCounts:
    """Write the labels that a rule makes of stored attention maps; committed shards are kept.

    Args:
        source: a folder that `qzoom label region` or `qzoom data unpickle` wrote.
        images: root of the pictures, for rows that do not tell their picture's size.

    Raises:
        LabelError: When a row tells no size and there is no root, or its map is not of the
            layout that the folder says.
        ConfigError: When the target holds labels made otherwise.
        DataError: When a shard of the target holds other rows.
    """
    counts, rows = RelabelCounts(), read_labels(source)
    first = next(rows, None)
    if first is None:
        raise LabelError(f"{source} holds no rows; run 'qzoom label region' first")
    stored = _stored(source, first)
    layout = settings_from_json(stored).layout
    again = (_again(row, rule, layout, images) for row in chain([first], rows))
    store = LabelStore(target, stored | {"rule": dataclasses.asdict(rule)})
    for shard, own in enumerate(iter(lambda: list(islice(again, shard_size)), [])):
        counts.rows += len(own)
        counts.teaching += sum(bool(row.fields["teaches"]) for row in own)
        if store.has(shard):
            store.check(shard, [str(row.fields["id"]) for row in own])
        else:
            store.write(shard, own)
    return counts


def _stored(source: Path, first: LabelRow) -> dict[str, Any]:
    """Settings of the folder; hosted labels have none and are squares of the picture padded."""
    if (source / SETTINGS_FILE).is_file():
        return read_settings(source)
    rows, cols = first.fields["grid_hw"]
    if rows != cols:
        raise LabelError(
            f"{source} holds no {SETTINGS_FILE} and a map of {rows}x{cols} cells; only squares "
            "can be told apart from padding"
        )
    return dataclasses.asdict(RegionLabelSettings(cells=rows * cols)) | {"model": "", "heads": {}}


def _again(row: LabelRow, rule: TriStateRule, layout: str, images: ImageFolder | None) -> LabelRow:
    attention = row.tensors.get("attention")
    if attention is None:
        return row
    size_px = _size_px(row.fields, images)
    shown = picture_cells(size_px, attention.shape[0]) if layout == "square" else None
    found = tristate_labels(attention, row.tensors.get("sink"), rule, shown)
    fields = {
        "teaches": found.teaches,
        "box_cells_xyxy": list(found.box_cells_xyxy),
        "image_size_px": list(size_px),
    }
    labels = {"labels": found.labels_hw.to(torch.int8)}
    return LabelRow({**row.fields, **fields}, {**row.tensors, **labels})


def _size_px(fields: Mapping[str, Any], images: ImageFolder | None) -> tuple[int, int]:
    if "image_size_px" in fields:
        width, height = fields["image_size_px"]
        return width, height
    if images is None:
        raise LabelError(
            f"row {fields['id']!r} does not tell its picture's size; name the image root"
        )
    return images.open(fields["image"]).size
