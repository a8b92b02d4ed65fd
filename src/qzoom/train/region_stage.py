"""Training the region network on labels (stage 1): the trunk is frozen and ends at layer B."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qzoom.errors import ConfigError
from qzoom.images.decode import decode_image
from qzoom.train.branch_losses import region_loss
from qzoom.train.label_index import Dialogue, LabelIndex
from qzoom.train.loader import Batch
from qzoom.train.tap_pass import region_map_logits, tap_states
from qzoom.zoom.chat import dialogue_ids
from qzoom.zoom.model import ZoomModel
from qzoom.zoom.prompt import lay_out


class RegionStage:
    """Batches of labelled dialogues and the loss of their maps.

    Trains `modules`: the region branch alone. Vision tower and trunk layers 1..B run without
    gradients; layers above B and the language head do not run.
    """

    name = "region"

    def __init__(
        self, model: ZoomModel, index: LabelIndex, images: Path, batch_size: int, seed: int
    ) -> None:
        """Freeze everything but the region branch.

        Args:
            images: folder that the labels' image paths are relative to.

        Raises:
            ConfigError: For a plain backbone.
        """
        parts = model.parts
        if parts.add_on is None:
            raise ConfigError(f"{model.name} is a plain backbone; give it branches first")
        self.parts, self.tokenizer = parts, model.require_tokenizer()
        self.pipeline = index.settings.budgeted(parts.pipeline)
        self.index, self.images = index, images
        self.batch_size, self.seed = batch_size, seed
        model.checkpoint.trunk.requires_grad_(False)
        parts.add_on.requires_grad_(False)
        self.modules = {"region": parts.add_on.region.requires_grad_(True)}

    def make_batch(self, step: int) -> Batch:
        """Patches, ids and labels of one step, flat, with the sizes to split them by."""
        dialogues = self.index.batch(step, self.batch_size, self.seed)
        pictures = [self._picture(dialogue) for dialogue in dialogues]
        pixels = self.pipeline(pictures)
        grids = self._grids(pixels.image_grid_thw)
        laid = [self._ids(d, grid) for d, grid in zip(dialogues, grids, strict=True)]
        labels = [turn.labels_hw() for dialogue in dialogues for turn in dialogue]
        return {
            "pixels": pixels.pixel_values.numpy(),
            "grid_thw": pixels.image_grid_thw.numpy(),
            "ids": np.concatenate([ids.numpy() for ids, _ in laid]),
            "lengths": np.array([len(ids) for ids, _ in laid]),
            "asking": np.concatenate([np.array(rows) for _, rows in laid]),
            "turns": np.array([len(rows) for _, rows in laid]),
            "labels": np.concatenate([label.numpy().reshape(-1) for label in labels]),
            "label_hw": np.array([label.shape for label in labels]),
        }

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Binary cross-entropy of all labelled cells, and how many maps peak on foreground."""
        pixels, grid_thw = torch.as_tensor(batch["pixels"]), torch.as_tensor(batch["grid_thw"])
        grids = self._grids(grid_thw)
        with torch.no_grad():
            features = self.parts.backbone.encode(pixels, grid_thw)
        layouts = [
            lay_out(ids, [grid], self.parts.ids)
            for ids, grid in zip(_split(batch["ids"], batch["lengths"]), grids, strict=True)
        ]
        tap = tap_states(self.parts, layouts, [[found] for found in features])
        asking = [rows.tolist() for rows in _split(batch["asking"], batch["turns"])]
        maps = [
            logits.view(grid)
            for row, grid in zip(region_map_logits(tap, asking), grids, strict=True)
            for logits in row
        ]
        shapes = batch["label_hw"].tolist()
        flat = _split(batch["labels"], np.array([rows * cols for rows, cols in shapes]))
        labels = [label.view(*shape) for label, shape in zip(flat, shapes, strict=True)]
        return region_loss(maps, labels), {"peak_on_foreground": _peaks(maps, labels)}

    def _picture(self, dialogue: Dialogue) -> Any:
        image = decode_image(self.images / dialogue[0].image)
        return self.index.settings.prepare(image, self.pipeline.cell_side_px)

    def _grids(self, grid_thw: Tensor) -> list[tuple[int, int]]:
        merge = self.pipeline.merge_size
        return [(h // merge, w // merge) for _, h, w in grid_thw.tolist()]

    def _ids(self, dialogue: Dialogue, grid_hw: tuple[int, int]) -> tuple[Tensor, list[int]]:
        turns = [(turn.question, turn.response) for turn in dialogue]
        return dialogue_ids(self.tokenizer, turns, [grid_hw], self.parts.ids.image)


def _split(flat: Any, lengths: Any) -> list[Tensor]:
    return list(torch.split(torch.as_tensor(flat), lengths.tolist()))


def _peaks(maps: list[Tensor], labels: list[Tensor]) -> float:
    """Share of maps whose highest cell is foreground, of those that have any and share the grid."""
    hits = [
        float(label.flatten()[logits.detach().argmax().cpu()] == 1)
        for logits, label in zip(maps, labels, strict=True)
        if logits.shape == label.shape and bool((label == 1).any())
    ]
    return sum(hits) / len(hits) if hits else float("nan")
