"""Pre-training stage 1: the vision tower learns to read windows dense with print."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLVisionModel

from qzoom.synth.lexicon import COLOURS, SHAPES, WORDS
from qzoom.synth.window_labels import GLYPHS, IGNORE, NUMBER_SLOTS, WindowLabels
from qzoom.synth.windows import make_window
from qzoom.train.loader import Batch
from qzoom.train.pixels import MERGE, normalise, patches_uint8
from qzoom.train.tower import TowerOutput, encode_equal

DIGIT_CLASSES: Final = 11
"""Blank and the ten digits."""
PATCHES_PER_CELL: Final = MERGE**2
WEIGHTS: Final = MappingProxyType({"digits": 3.0})
"""Weights of the reading losses, 1 where not named: few cells hold a number, all count as one."""


class ReadingHeads(nn.Module):
    """Throw-away heads: glyphs and colour of each patch; word, number, colours, shape of each cell.

    Each gives logits of shape `(places, classes)`.
    """

    def __init__(self, patch_width: int, cell_width: int) -> None:
        super().__init__()
        tones = len(COLOURS) + 1
        self.patch_norm = nn.LayerNorm(patch_width)
        self.glyphs = nn.Linear(patch_width, 2 * len(GLYPHS))
        self.cell_norm = nn.LayerNorm(cell_width)
        self.words = nn.Linear(cell_width, len(WORDS) + 1)
        self.digits = nn.Linear(cell_width, NUMBER_SLOTS * DIGIT_CLASSES)
        self.tones = nn.Linear(cell_width, PATCHES_PER_CELL * tones)
        self.shapes = nn.Linear(cell_width, len(SHAPES) + 1)
        self.classes = {
            "glyphs": len(GLYPHS),
            "words": len(WORDS) + 1,
            "digits": DIGIT_CLASSES,
            "tones": tones,
            "shapes": len(SHAPES) + 1,
        }

    def forward(self, out: TowerOutput) -> dict[str, Tensor]:
        """Logits by label name, in the order of `pack_labels`."""
        patches, cells = self.patch_norm(out.patches_bnd), self.cell_norm(out.cells_bch)
        return {
            name: getattr(self, name)(patches if name == "glyphs" else cells)
            .float()
            .view(-1, classes)
            for name, classes in self.classes.items()
        }


def pack_labels(labels: WindowLabels) -> dict[str, np.ndarray[Any, Any]]:
    """Labels flattened in the order of patches and cells."""
    rows, cols = labels.words.shape
    halves = labels.glyphs.reshape(rows, 2, cols, 2, 2).transpose(0, 2, 1, 3, 4)
    return {
        "glyphs": halves.reshape(-1).astype(np.int16),
        "words": labels.words.reshape(-1).astype(np.int16),
        "digits": labels.digits.reshape(-1).astype(np.int16),
        "tones": labels.tones.reshape(rows, 2, cols, 2).transpose(0, 2, 1, 3).reshape(-1),
        "shapes": labels.shapes.reshape(-1).astype(np.int16),
    }


class CellStage:
    """Windows of `side` x `side` cells, `batch_size` a step."""

    def __init__(
        self,
        visual: Qwen3VLVisionModel,
        heads: ReadingHeads,
        seed: int,
        batch_size: int = 64,
        side: int = 4,
        size_px_range: tuple[float, float] = (11.0, 26.0),
        name: str = "cells",
    ) -> None:
        self.name = name
        self.visual, self.heads = visual, heads
        self.seed, self.batch_size, self.side = seed, batch_size, side
        self.size_px_range = size_px_range

    def make_batch(self, step: int) -> Batch:
        """The batch of one step: patches and labels."""
        rng = Random(f"cells/{self.seed}/{step}")
        rows: dict[str, list[np.ndarray[Any, Any]]] = {}
        for _ in range(self.batch_size):
            image, labels = make_window(rng, self.side, self.side, self.size_px_range)
            for key, value in (("pixels", patches_uint8(image)), *pack_labels(labels).items()):
                rows.setdefault(key, []).append(value)
        return {key: np.stack(values) for key, values in rows.items()}

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Sum of the cross-entropies, and the shares read right."""
        out = encode_equal(self.visual, normalise(batch["pixels"]), (2 * self.side, 2 * self.side))
        return reading_loss(self.heads(out), batch)


def reading_loss(logits: Mapping[str, Tensor], batch: Batch) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropies of the reading heads; metrics count only places that hold something."""
    total, metrics = torch.zeros(()), {}
    for name, scores in logits.items():
        truth = torch.as_tensor(batch[name]).long().view(-1)
        loss = F.cross_entropy(scores, truth, ignore_index=IGNORE)
        if not bool((truth != IGNORE).any()):
            loss = 0.0 * scores.sum()  # the mean over no place is not a number
        total = total + WEIGHTS.get(name, 1.0) * loss
        right, shown = scores.argmax(-1) == truth, truth > 0
        if name == "digits":
            right = right.view(-1, NUMBER_SLOTS).all(-1)
            shown = truth.view(-1, NUMBER_SLOTS)[:, 0] > 0
        metrics[f"loss_{name}"] = float(loss.detach())
        metrics[f"{name}_right"] = float(right[shown].float().mean())
    return total, metrics


@torch.no_grad()
def level_cells(visual: Qwen3VLVisionModel, stage: CellStage) -> None:
    """Scale the merger's output to a root mean square of 1 on the stage's own windows.

    Reading alone lets it grow a hundredfold; a decoder adds to such rows in vain.
    """
    pixels = normalise(stage.make_batch(-1)["pixels"])
    cells = encode_equal(visual, pixels, (2 * stage.side, 2 * stage.side)).cells_bch
    size = cells.square().mean().sqrt()
    visual.merger.linear_fc2.weight.div_(size)
    visual.merger.linear_fc2.bias.div_(size)
