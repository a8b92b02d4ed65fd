"""The tensors of one question about one picture, as a transformers processor would make them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import torch
from torch import Tensor

from qzoom.bench.subject import Subject
from qzoom.geometry.boxes import Box
from qzoom.zoom.chat import question_ids
from qzoom.zoom.crops import crop_pipeline, cut_crop

QUESTIONS: Final = (
    "What is written on the sign at the left of the door?",
    "How many people are sitting at the table in the back?",
    "Which colour is the car that stands behind the fence?",
    "What is the number printed on the shirt of the runner?",
    "Is there a bottle on the shelf above the white sink?",
)
"""Of nearly one length, so that rows of a batch are."""


@dataclass(frozen=True)
class Prompt:
    """One question; `question` is its place in `QUESTIONS`, which are gone through again."""

    subject: Subject
    question: int = 0

    @property
    def text(self) -> str:
        """The question, made unlike every other one where the list is gone through again."""
        turn, place = divmod(self.question, len(QUESTIONS))
        return QUESTIONS[place] if turn == 0 else f"{QUESTIONS[place]} {turn:03d}"

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """Keyword arguments of `generate` for the picture under the budget."""
        model = self.subject.model
        pixels = model.pipeline([self.subject.image])
        return self._tensors(self.input_ids, pixels.pixel_values, pixels.image_grid_thw)

    @cached_property
    def input_ids(self) -> Tensor:
        """Of shape `(n,)`."""
        model = self.subject.model
        return question_ids(
            model.require_tokenizer(), self.text, [self.grid_hw], model.parts.ids.image
        )

    @cached_property
    def grid_hw(self) -> tuple[int, int]:
        """Rows and columns of cells of the picture."""
        return self.subject.model.grid_of(self.subject.image)

    def with_crop(self, box_cells_xyxy: Box) -> dict[str, Any]:
        """The same with a crop as a second image, cut and resized anew as a user would."""
        model, image = self.subject.model, self.subject.image
        found = cut_crop(model.pipeline, image, box_cells_xyxy, self.grid_hw, model.config)
        assert found is not None
        crop = crop_pipeline(model.pipeline, model.config)([found[1]])
        ids = model.parts.ids
        before, after = self._halves
        cells = int(crop.image_grid_thw.prod()) // model.pipeline.merge_size**2
        block = [ids.vision_start, *[ids.image] * cells, ids.vision_end]
        return self._tensors(
            torch.cat([before, torch.tensor(block), after]),
            torch.cat([self.inputs["pixel_values"], crop.pixel_values.to(model.device)]),
            torch.cat([self.inputs["image_grid_thw"], crop.image_grid_thw.to(model.device)]),
        )

    @property
    def prefix_length(self) -> int:
        """Rows up to and with the picture's last cell."""
        image_id = self.subject.model.parts.ids.image
        return int((self.input_ids == image_id).nonzero().max()) + 1

    @property
    def _halves(self) -> tuple[Tensor, Tensor]:
        """Ids up to the picture's closing token, and after it."""
        cut = self.prefix_length + 1
        return self.input_ids[:cut], self.input_ids[cut:]

    def _tensors(self, ids: Tensor, pixels: Tensor, grid_thw: Tensor) -> dict[str, Any]:
        model = self.subject.model
        tensors = {
            "input_ids": ids[None],
            "attention_mask": torch.ones_like(ids[None]),
            "mm_token_type_ids": (ids[None] == model.parts.ids.image).int(),
            "pixel_values": pixels.to(model.dtype),
            "image_grid_thw": grid_thw,
        }
        return {name: value.to(model.device) for name, value in tensors.items()}


def batched(inputs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Prompts padded on the left to one length, as `generate` of transformers wants them."""
    longest = max(each["input_ids"].shape[1] for each in inputs)

    def padded(name: str) -> Tensor:
        rows = [each[name][0] for each in inputs]
        return torch.stack([torch.nn.functional.pad(r, (longest - len(r), 0)) for r in rows])

    names = ("input_ids", "attention_mask", "mm_token_type_ids")
    flat = ("pixel_values", "image_grid_thw")
    return {name: padded(name) for name in names} | {
        name: torch.cat([each[name] for each in inputs]) for name in flat
    }
