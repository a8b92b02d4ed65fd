"""Pre-training stage 1: the vision tower learns to read windows dense with print."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLVisionModel

from qzoom.synth.lexicon import WORDS
from qzoom.synth.windows import GLYPHS, IGNORE, NUMBER_SLOTS, WindowLabels, make_window
from qzoom.train.loader import Batch
from qzoom.train.pixels import normalise, patches_uint8
from qzoom.train.tower import TowerOutput, encode_equal

DIGIT_CLASSES = 11


class ReadingHeads(nn.Module):
    """Throw-away heads: glyphs of each patch, word and number of each cell."""

    def __init__(self, patch_width: int, cell_width: int) -> None:
        super().__init__()
        self.patch_norm = nn.LayerNorm(patch_width)
        self.glyphs = nn.Linear(patch_width, 2 * len(GLYPHS))
        self.cell_norm = nn.LayerNorm(cell_width)
        self.words = nn.Linear(cell_width, len(WORDS) + 1)
        self.digits = nn.Linear(cell_width, NUMBER_SLOTS * DIGIT_CLASSES)

    def forward(self, out: TowerOutput) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of glyphs `(n, classes)`, words `(n, words + 1)` and digits `(n, 11)`."""
        cells = self.cell_norm(out.cells_bch)
        return (
            self.glyphs(self.patch_norm(out.patches_bnd)).float().view(-1, len(GLYPHS)),
            self.words(cells).float().view(-1, len(WORDS) + 1),
            self.digits(cells).float().view(-1, DIGIT_CLASSES),
        )


def pack_labels(labels: WindowLabels) -> dict[str, np.ndarray[Any, Any]]:
    """Labels flattened in the order of patches and cells."""
    rows, cols = labels.words.shape
    halves = labels.glyphs.reshape(rows, 2, cols, 2, 2).transpose(0, 2, 1, 3, 4)
    return {
        "glyphs": halves.reshape(-1).astype(np.int16),
        "words": labels.words.reshape(-1).astype(np.int16),
        "digits": labels.digits.reshape(-1).astype(np.int16),
    }


class CellStage:
    """Windows of `side` x `side` cells, `batch_size` a step."""

    name = "cells"

    def __init__(
        self,
        visual: Qwen3VLVisionModel,
        heads: ReadingHeads,
        seed: int,
        batch_size: int = 64,
        side: int = 4,
        size_px_range: tuple[float, float] = (11.0, 26.0),
    ) -> None:
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
        """Sum of the three cross-entropies, and the shares read right."""
        out = encode_equal(self.visual, normalise(batch["pixels"]), (2 * self.side, 2 * self.side))
        glyphs, words, digits = self.heads(out)
        return reading_loss(glyphs, words, digits, batch)


def reading_loss(
    glyphs: Tensor, words: Tensor, digits: Tensor, batch: Batch
) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropies of the reading heads; metrics count only places that hold print."""
    truth = {k: torch.as_tensor(batch[k]).long().view(-1) for k in ("glyphs", "words", "digits")}
    losses = {
        "glyphs": F.cross_entropy(glyphs, truth["glyphs"], ignore_index=IGNORE),
        "words": F.cross_entropy(words, truth["words"], ignore_index=IGNORE),
        "digits": F.cross_entropy(digits, truth["digits"], ignore_index=IGNORE),
    }
    metrics = {f"loss_{k}": float(v.detach()) for k, v in losses.items()}
    metrics["glyphs_right"] = _share(glyphs, truth["glyphs"])
    metrics["words_right"] = _share(words, truth["words"])
    right = (digits.argmax(-1) == truth["digits"]).view(-1, NUMBER_SLOTS).all(-1)
    numbers = truth["digits"].view(-1, NUMBER_SLOTS)[:, 0] > 0
    metrics["numbers_right"] = float(right[numbers].float().mean())
    return torch.stack(list(losses.values())).sum(), metrics


def _share(logits: Tensor, truth: Tensor) -> float:
    printed = truth > 0
    return float((logits.argmax(-1) == truth)[printed].float().mean())
