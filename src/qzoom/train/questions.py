"""Pre-training stage 2: answering questions, directly at several budgets and with a crop."""

from __future__ import annotations

from random import Random
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast, Qwen3VLForConditionalGeneration

from qzoom.synth.window_labels import CELL_PX, IGNORE
from qzoom.train.cells import CellStage
from qzoom.train.grounding import GROUNDED_LAYERS, grounding_loss, ink_cells
from qzoom.train.loader import Batch
from qzoom.train.packed_run import PackedRun
from qzoom.train.packing import Tokens, encode_turn, pad_texts
from qzoom.train.pixels import patches_uint8
from qzoom.train.views import Looks, View, ViewPlan

GROUNDING_WEIGHT: Final = 0.5
QUESTIONS_PER_STEP: Final = 60
"""Questions whose loss counts once: a batch of few large pictures weighs less, by the root."""


class QuestionStage:
    """Packed questions; a share of reading windows keeps the tower sharp."""

    def __init__(
        self,
        model: Qwen3VLForConditionalGeneration,
        tokenizer: PreTrainedTokenizerFast,
        cells: CellStage | None,
        seed: int,
        looks: Looks,
        name: str = "questions",
    ) -> None:
        self.name = name
        self.model, self.tokenizer, self.cells = model, tokenizer, cells
        self.seed, self.looks = seed, looks
        self.tokens = Tokens.of(tokenizer)

    def make_batch(self, step: int) -> Batch:
        """One batch of views of one shape, and one of reading windows."""
        rng = Random(f"questions/{self.seed}/{step}")
        plan, views = self.looks.batch(rng)
        turns = [
            [encode_turn(self.tokenizer, q.text, q.answer) for q in view.questions]
            for view in views
        ]
        ids, labels = pad_texts(turns, self.tokens.pad)
        width, height = views[0].image.size
        batch: dict[str, Any] = {
            "source": np.stack([patches_uint8(view.image) for view in views]),
            "source_hw": np.array([height // CELL_PX, width // CELL_PX]),
            "ids": ids.numpy(),
            "labels": labels.numpy(),
            "look": np.array(plan.look),
        }
        if plan.crop_hw_cells is not None:
            crop_w, crop_h = views[0].crops[0].size
            batch["crops"] = np.stack([patches_uint8(c) for view in views for c in view.crops])
            batch["crop_hw"] = np.array([crop_h // CELL_PX, crop_w // CELL_PX])
            batch["boxes"] = np.array([view.boxes_cells_xyxy for view in views])
        batch["targets"] = np.stack([_targets(view, plan) for view in views])
        if self.cells is not None:
            batch.update({f"cells_{k}": v for k, v in self.cells.make_batch(step).items()})
        return batch

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy of the answers, by their number, plus half the reading loss of windows."""
        run = PackedRun(self.model, self.tokens, batch)
        entering = dict.fromkeys(GROUNDED_LAYERS, run.hidden)
        hidden, labels = run.text_rows(run.trunk(record=entering)), run.labels
        grounding = grounding_loss(run, entering, torch.as_tensor(batch["targets"]))
        wanted = labels != IGNORE
        logits = self.model.lm_head(hidden[wanted]).float()
        answer_loss = F.cross_entropy(logits, labels[wanted])
        right = torch.ones_like(wanted)
        right[wanted] = logits.argmax(-1) == labels[wanted]
        exact = float(right.all(-1).float().mean())
        look = str(batch["look"])
        metrics = {
            f"exact_{look}": exact,
            "answer_loss": float(answer_loss.detach()),
            "grounding_loss": float(grounding.detach()),
        }
        share = (wanted.any(-1).sum() / QUESTIONS_PER_STEP).sqrt()
        asked = share * (answer_loss + GROUNDING_WEIGHT * grounding)
        if self.cells is None:
            return asked, metrics
        windows = {k.removeprefix("cells_"): v for k, v in batch.items() if k.startswith("cells_")}
        reading, reading_metrics = self.cells.loss(windows)
        kept = {k: v for k, v in reading_metrics.items() if k.endswith("_right")}
        return asked + 0.5 * reading, {**metrics, **kept}


def freeze_tower(visual: nn.Module) -> None:
    """Stop training a tower but for its mergers: it keeps reading, what it hands on adapts."""
    for name, parameter in visual.named_parameters():
        parameter.requires_grad_("merger" in name)


def _targets(view: View, plan: ViewPlan) -> NDArray[np.bool_]:
    """Cells with each answer's ink, of shape `(groups, cells)`: the source's, then the crop's."""
    width, height = plan.canvas_px
    grid = (view.image.height // CELL_PX, view.image.width // CELL_PX)
    rows = [ink_cells(q, (0, 0, width, height), grid) for q in view.questions]
    for index, (box, crop) in enumerate(zip(view.boxes_cells_xyxy, view.crops, strict=True)):
        x, y = width / grid[1], height / grid[0]
        region = (box[0] * x, box[1] * y, box[2] * x, box[3] * y)
        inside = ink_cells(
            view.questions[index], region, (crop.height // CELL_PX, crop.width // CELL_PX)
        )
        rows[index] = np.concatenate([np.zeros_like(rows[index]), inside])
    return np.stack(rows)
