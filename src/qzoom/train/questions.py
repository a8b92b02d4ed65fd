"""Pre-training stage 2: answering questions, directly at several budgets and with a crop."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast, Qwen3VLForConditionalGeneration

from qzoom.train.cells import CellStage
from qzoom.train.loader import Batch
from qzoom.train.packing import (
    IGNORE,
    Tokens,
    encode_turn,
    group_mask,
    packed_positions,
    pad_texts,
)
from qzoom.train.pixels import normalise, patches_uint8
from qzoom.train.tower import TowerOutput, encode_equal
from qzoom.train.views import CELL_PX, ViewMix, make_view


class QuestionStage:
    """Packed questions; a share of reading windows keeps the tower sharp."""

    name = "questions"

    def __init__(
        self,
        model: Qwen3VLForConditionalGeneration,
        tokenizer: PreTrainedTokenizerFast,
        cells: CellStage | None,
        seed: int,
        mix: ViewMix,
    ) -> None:
        self.model, self.tokenizer, self.cells = model, tokenizer, cells
        self.seed, self.mix = seed, mix
        self.tokens = Tokens.of(tokenizer)

    def make_batch(self, step: int) -> Batch:
        """One batch of views of one shape, and one of reading windows."""
        rng = Random(f"questions/{self.seed}/{step}")
        plan = self.mix.plan(rng)
        views = [make_view(rng, plan) for _ in range(plan.images)]
        turns = [
            [encode_turn(self.tokenizer, q.text, q.answer) for q in view.questions] for view in views
        ]
        ids, labels = pad_texts(turns, self.tokens.pad)
        width, height = views[0].image.size
        batch: dict[str, Any] = {
            "source": np.stack([patches_uint8(view.image) for view in views]),
            "source_hw": np.array([height // CELL_PX, width // CELL_PX]),
            "ids": ids.numpy(),
            "labels": labels.numpy(),
        }
        if plan.crop_hw_cells is not None:
            crop_w, crop_h = views[0].crops[0].size
            batch["crops"] = np.stack([patches_uint8(c) for view in views for c in view.crops])
            batch["crop_hw"] = np.array([crop_h // CELL_PX, crop_w // CELL_PX])
            batch["boxes"] = np.array([view.boxes_cells_xyxy for view in views])
        if self.cells is not None:
            batch.update({f"cells_{k}": v for k, v in self.cells.make_batch(step).items()})
        return batch

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy of the answers, plus half the reading loss where there are windows."""
        hidden, labels = packed_forward(self.model, self.tokens, batch)
        wanted = labels != IGNORE
        logits = self.model.lm_head(hidden[wanted]).float()
        answer_loss = F.cross_entropy(logits, labels[wanted])
        right = torch.ones_like(wanted)
        right[wanted] = logits.argmax(-1) == labels[wanted]
        exact = float(right.all(-1).float().mean())
        look = "zoom" if "crops" in batch else _look(int(batch["source_hw"].prod()))
        metrics = {f"exact_{look}": exact, "answer_loss": float(answer_loss.detach())}
        if self.cells is None:
            return answer_loss, metrics
        windows = {k.removeprefix("cells_"): v for k, v in batch.items() if k.startswith("cells_")}
        reading, reading_metrics = self.cells.loss(windows)
        kept = {k: v for k, v in reading_metrics.items() if k.endswith("_right")}
        return answer_loss + 0.5 * reading, {**metrics, **kept}


def freeze_blocks(visual: nn.Module) -> None:
    """Stop training all of a tower but its mergers: its reading is kept, its output is adapted."""
    for name, parameter in visual.named_parameters():
        parameter.requires_grad_("merger" in name)


def packed_forward(
    model: Qwen3VLForConditionalGeneration, tokens: Tokens, batch: Batch, layers: int | None = None
) -> tuple[Tensor, Tensor]:
    """Hidden states of the groups' text rows after `layers` trunk layers (all: and the norm).

    Returns:
        states of shape `(batch, groups, length, hidden)` and labels `(batch, groups, length)`.
    """
    run = PackedRun(model, tokens, batch)
    hidden = run.trunk(layers)
    return run.text_rows(hidden), run.labels


class PackedRun:
    """One packed batch on its way through the trunk."""

    def __init__(
        self, model: Qwen3VLForConditionalGeneration, tokens: Tokens, batch: Batch
    ) -> None:
        self.model = model
        self.language = model.model.language_model
        self.ids = torch.as_tensor(batch["ids"])
        self.labels = torch.as_tensor(batch["labels"])
        self.source_hw = (int(batch["source_hw"][0]), int(batch["source_hw"][1]))
        self.crop_hw: tuple[int, int] | None = None
        source = _encode(model, batch["source"], self.source_hw)
        crops = None
        if "crops" in batch:
            self.crop_hw = (int(batch["crop_hw"][0]), int(batch["crop_hw"][1]))
            crops = _encode(model, batch["crops"], self.crop_hw)
        images, self.groups, self.length = self.ids.shape
        self.prefix = len(tokens.prefix) + self.source_hw[0] * self.source_hw[1]
        boxes = batch["boxes"].tolist() if "boxes" in batch else None
        positions = packed_positions(
            len(tokens.prefix), self.source_hw, self.length, self.groups, boxes, self.crop_hw
        ).expand(3, images, -1)
        self.hidden, self.deepstack = self._assemble(tokens, source, crops)
        self.rotary = self.language.rotary_emb(self.hidden, positions)
        head = self.hidden.shape[1] - self.prefix
        self.mask = group_mask(self.prefix, self.groups, head // self.groups)

    def _assemble(
        self, tokens: Tokens, source: TowerOutput, crops: TowerOutput | None
    ) -> tuple[Tensor, list[Tensor]]:
        """Input rows `(batch, n, hidden)` and one such tensor a deepstack level, zero off cells."""
        images, embed = len(self.ids), self.language.embed_tokens

        def fixed(ids: tuple[int, ...]) -> Tensor:
            return embed(torch.tensor(ids)).expand(images, -1, -1)

        def lay_out(text: bool, source_rows: Tensor, crop_rows: Tensor | None) -> Tensor:
            def words(rows: Tensor) -> Tensor:
                return rows if text else torch.zeros_like(rows)

            parts = [words(fixed(tokens.prefix)), source_rows.to(embed.weight.dtype)]
            for group in range(self.groups):
                parts.append(words(fixed((tokens.vision_end,))))
                if crop_rows is not None:
                    mine = crop_rows.view(images, self.groups, *crop_rows.shape[1:])[:, group]
                    parts.append(words(fixed((tokens.vision_start,))))
                    parts.append(mine.to(embed.weight.dtype))
                    parts.append(words(fixed((tokens.vision_end,))))
                parts.append(words(embed(self.ids[:, group])))
            return torch.cat(parts, 1)

        hidden = lay_out(True, source.cells_bch, crops.cells_bch if crops else None)
        levels = range(len(source.deepstack_bch))
        deepstack = [
            lay_out(False, source.deepstack_bch[i], crops.deepstack_bch[i] if crops else None)
            for i in levels
        ]
        return hidden, deepstack

    def trunk(self, layers: int | None = None) -> Tensor:
        """Hidden states `(batch, n, hidden)` after the first `layers` layers, or normed after all."""
        hidden = self.hidden
        for index, layer in enumerate(self.language.layers[:layers]):
            hidden = layer(hidden, position_embeddings=self.rotary, attention_mask=self.mask)
            if index < len(self.deepstack):
                hidden = hidden + self.deepstack[index]
        normed: Tensor = hidden if layers is not None else self.language.norm(hidden)
        return normed

    def through(self, layers: Iterable[nn.Module], hidden: Tensor) -> Tensor:
        """Further layers over rows that already have their deepstack features."""
        for layer in layers:
            hidden = layer(hidden, position_embeddings=self.rotary, attention_mask=self.mask)
        return hidden

    def text_rows(self, hidden: Tensor) -> Tensor:
        """The question rows of each group, of shape `(batch, groups, length, hidden)`."""
        images, _, width = hidden.shape
        return hidden[:, self.prefix :].view(images, self.groups, -1, width)[:, :, -self.length :]

    def source_rows(self, hidden: Tensor) -> Tensor:
        """The source's cells, of shape `(batch, cells, hidden)`."""
        cells = self.source_hw[0] * self.source_hw[1]
        return hidden[:, self.prefix - cells : self.prefix]


def _look(cells: int) -> str:
    return "coarse" if cells <= 64 else "double" if cells <= 128 else "full"


def _encode(
    model: Qwen3VLForConditionalGeneration, patches: np.ndarray[Any, Any], cells_hw: tuple[int, int]
) -> TowerOutput:
    grid = (2 * cells_hw[0], 2 * cells_hw[1])
    return encode_equal(model.model.visual, normalise(patches), grid)
