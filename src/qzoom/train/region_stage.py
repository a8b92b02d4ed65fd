"""Training the region network on labels (stage 1): the trunk is frozen and ends at layer B."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from qzoom.data.images import ImageRoots, image_folder
from qzoom.errors import ConfigError
from qzoom.labels.tristate import IGNORE
from qzoom.train.branch_losses import region_loss
from qzoom.train.label_index import Dialogue, LabelIndex
from qzoom.train.loader import Batch
from qzoom.train.low_rank import trained_part
from qzoom.train.pictures import none_left, usable
from qzoom.train.prompt_batch import Prompt, pack_prompts, split_flat, tap_prompts
from qzoom.train.step_report import SAMPLES, WEIGHT
from qzoom.train.tap_pass import region_map_logits
from qzoom.zoom.model import ZoomModel


class RegionStage:
    """Batches of labelled dialogues and the loss of their maps.

    Trains `modules`: the region branch alone, or its low-rank changes. Vision tower and trunk
    layers 1..B run without gradients; layers above B and the language head do not run.
    """

    name = "region"

    def __init__(
        self, model: ZoomModel, index: LabelIndex, images: ImageRoots, batch_size: int, seed: int
    ) -> None:
        """Freeze everything but the region branch.

        Args:
            images: folder, or folders, that the labels' image paths are relative to.

        Raises:
            ConfigError: For a plain backbone.
            DataError: If there is no such folder.
        """
        parts = model.parts
        if parts.add_on is None:
            raise ConfigError(f"{model.name} is a plain backbone; give it branches first")
        self.parts, self.tokenizer = parts, model.require_tokenizer()
        self.pipeline = index.settings.budgeted(parts.pipeline)
        self.index, self.images = index, image_folder(images)
        self.batch_size, self.seed = batch_size, seed
        model.checkpoint.trunk.requires_grad_(False)
        parts.add_on.requires_grad_(False)
        self.modules: dict[str, nn.Module] = {"region": trained_part(parts.add_on.region)}

    def make_batch(self, place: int) -> Batch:
        """Prompts of one micro-batch and the labels of every turn, but for bad pictures.

        Each labelled cell counts.
        """
        drawn = self.index.batch(place, self.batch_size, self.seed)
        dialogues, prompts, counts = usable(drawn, self._prompt)
        if none_left(counts):
            return counts
        labels = [turn.labels_hw().numpy() for dialogue in dialogues for turn in dialogue]
        return {
            **counts,
            **pack_prompts(prompts, self.tokenizer, self.parts.ids.image),
            "labels": np.concatenate([label.reshape(-1) for label in labels]),
            "label_hw": np.array([label.shape for label in labels]),
            WEIGHT: np.array(sum(int((label != IGNORE).sum()) for label in labels)),
            SAMPLES: np.array([turn.id for dialogue in dialogues for turn in dialogue]),
        }

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Binary cross-entropy of all labelled cells, and how many maps peak on foreground."""
        tap, asking, grids = tap_prompts(self.parts, batch)
        maps = [
            logits.view(grid)
            for row, grid in zip(region_map_logits(tap, asking), grids, strict=True)
            for logits in row
        ]
        shapes = batch["label_hw"].tolist()
        flat = split_flat(batch["labels"], [rows * cols for rows, cols in shapes])
        labels = [label.view(*shape) for label, shape in zip(flat, shapes, strict=True)]
        return region_loss(maps, labels), {"peak_on_foreground": _peaks(maps, labels)}

    def _prompt(self, dialogue: Dialogue) -> Prompt:
        image = self.images.open(dialogue[0].image)
        prepared = self.index.settings.prepare(image, self.pipeline.cell_side_px)
        turns = [(turn.question, turn.response) for turn in dialogue]
        return Prompt(prepared, turns, self.pipeline)


def _peaks(maps: list[Tensor], labels: list[Tensor]) -> float:
    """Share of maps whose highest cell is foreground, of those that have any and share the grid."""
    hits = [
        float(label.flatten()[logits.detach().argmax().cpu()] == 1)
        for logits, label in zip(maps, labels, strict=True)
        if logits.shape == label.shape and bool((label == 1).any())
    ]
    return sum(hits) / len(hits) if hits else float("nan")
