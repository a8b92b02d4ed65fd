"""All cases of a golden folder as one padded batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tests.parity.compare import Difference, largest
from tests.parity.goldens import golden_cases
from torch import Tensor

import qzoom

NEW_TOKENS = 6


class BatchOfCases:
    """Prompts of different lengths with one picture each."""

    def __init__(self, folder: Path) -> None:
        self.cases = list(golden_cases(folder))
        self.images = [case.image() for case in self.cases]
        self.width = max(case.input_ids.shape[1] for case in self.cases)

    def mixed_options(self) -> dict[str, Any]:
        """A gate threshold between the stored probabilities, so that some rows fire."""
        probabilities = sorted(float(case.tensors["gate_probability"]) for case in self.cases)
        middle = len(probabilities) // 2
        between = (probabilities[middle - 1] + probabilities[middle]) / 2
        return self.shared_options(1) | {"gate_threshold": between}

    def shared_options(self, run: int) -> dict[str, Any]:
        """Options of one stored run; of its region thresholds the one that finds most boxes."""
        options = [case.runs[run].options for case in self.cases]
        lowest = min(option["roi_threshold"] for option in options)
        return options[0] | {"roi_threshold": lowest, "max_new_tokens": NEW_TOKENS}

    def inputs(self, side: str) -> dict[str, Any]:
        """Ids padded on one side, their mask, and the pictures."""
        ids, mask = padded([case.input_ids[0] for case in self.cases], side)
        return {"input_ids": ids, "attention_mask": mask, "images": self.images}

    def generate(self, model: qzoom.ZoomModel, side: str, **options: Any) -> Any:
        """Details of the whole batch."""
        return model.generate(**self.inputs(side), return_details=True, **options)

    def generate_one(self, model: qzoom.ZoomModel, row: int, **options: Any) -> Any:
        """Details of one case alone."""
        return model.generate(
            self.cases[row].input_ids, images=[self.images[row]], return_details=True, **options
        )

    def differences(self, together: Any, row: int, alone: Any) -> Iterator[Difference]:
        """Compare a row of the batch with the same prompt alone."""
        pairs = {
            "gate": (together.gate_probability[row], alone.gate_probability[0]),
            "roi_logits": (together.roi_logits[row], alone.roi_logits[0]),
            "sink_keep": (together.sink_keep[row], alone.sink_keep[0]),
            "roi_box_cells": (together.roi_box_cells[row], alone.roi_box_cells[0]),
            "roi_grid_thw": (together.roi_grid_thw[row], alone.roi_grid_thw[0]),
            "positions": (together.position_ids[row], alone.position_ids[0]),
            "zoomed": (together.zoomed[row], alone.zoomed[0]),
            "zoomed_input_ids": (together.zoomed_input_ids[row], alone.zoomed_input_ids[0]),
            "logits": (together.logits[row], alone.logits[0]),
            "tokens": (together.sequences[row, self.width :], _new(alone)),
        }
        for name, (found, expected) in pairs.items():
            yield Difference(name, largest(found, expected))


def padded(rows: list[Tensor], side: str, fill: int = 0) -> tuple[Tensor, Tensor]:
    """Rows of ids padded to one length on the left or the right, and the attention mask."""
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), fill)
    mask = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        place = slice(width - len(row), None) if side == "left" else slice(0, len(row))
        ids[number, place], mask[number, place] = row, 1
    return ids, mask


def _new(out: Any) -> Tensor:
    generated: Tensor = out.sequences[0, -out.logits.shape[1] :]
    return generated
