"""Training the gate on labelled looks (stage 3): one picture at one budget, refine or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from qzoom.data.images import ImageRoots, image_folder
from qzoom.errors import ConfigError
from qzoom.labels.gate_rows import Budget
from qzoom.labels.tristate import IGNORE
from qzoom.train.branch_losses import gate_loss
from qzoom.train.loader import Batch
from qzoom.train.low_rank import trained_part
from qzoom.train.pictures import none_left, usable
from qzoom.train.prompt_batch import Prompt, pack_prompts, tap_prompts
from qzoom.train.step_report import SAMPLES, WEIGHT
from qzoom.train.tap_pass import gate_logits
from qzoom.zoom.model import ZoomModel


@dataclass(frozen=True)
class GateLook:
    """A question about a picture seen at a budget.

    budget_cells: least and most cells of the picture, which is resized to them, up or down; None
        keeps the model's own.
    label: 1 to look closer, 0 not to, `IGNORE` for no opinion.
    id: names the look in messages; empty names it by its picture.
    """

    image: str
    question: str
    label: int
    budget_cells: Budget | None = None
    id: str = ""


DrawLooks = Callable[[int], Sequence[GateLook]]
"""The looks of a micro-batch: a pure function, so that a training resumes exactly."""


class GateStage:
    """Batches of labelled looks and their loss.

    Trains `modules`: the gate branch alone, or its low-rank changes and its head.
    """

    name = "gate"

    def __init__(self, model: ZoomModel, draw: DrawLooks, images: ImageRoots) -> None:
        """Freeze everything but the gate.

        Args:
            images: folder, or folders, that the samples' image paths are relative to.

        Raises:
            ConfigError: For a model without a gate.
            DataError: If there is no such folder.
        """
        parts = model.parts
        if parts.add_on is None or parts.add_on.gate is None:
            raise ConfigError(f"{model.name} has no gate branch; set enable_high_res")
        self.parts, self.tokenizer = parts, model.require_tokenizer()
        self.draw, self.images = draw, image_folder(images)
        model.checkpoint.trunk.requires_grad_(False)
        parts.add_on.requires_grad_(False)
        self.modules: dict[str, nn.Module] = {"gate": trained_part(parts.add_on.gate)}

    def make_batch(self, place: int) -> Batch:
        """Prompts of one micro-batch and their labels, but for bad pictures; known looks count."""
        samples, prompts, counts = usable(self.draw(place), self._prompt)
        if none_left(counts):
            return counts
        packed = pack_prompts(prompts, self.tokenizer, self.parts.ids.image)
        labels = np.array([sample.label for sample in samples])
        return {
            **counts,
            **packed,
            "labels": labels,
            WEIGHT: np.array((labels != IGNORE).sum()),
            SAMPLES: np.array([sample.id or sample.image for sample in samples]),
        }

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Binary cross-entropy of the labelled looks, and how many the gate gets right."""
        tap, asking, _ = tap_prompts(self.parts, batch)
        logits = gate_logits(tap, [rows[0] for rows in asking])
        labels = torch.as_tensor(batch["labels"])
        known = labels != IGNORE
        right = ((logits.detach().cpu() > 0) == (labels == 1))[known]
        return gate_loss(logits, labels), {"gate_right": float(right.float().mean())}

    def _prompt(self, sample: GateLook) -> Prompt:
        pipeline = self.parts.pipeline
        if sample.budget_cells is not None:
            pipeline = pipeline.with_budget(*sample.budget_cells)
        image = self.images.open(sample.image)
        # The gate reads the row before the answer; what follows changes nothing.
        return Prompt(image, [(sample.question, "")], pipeline)
