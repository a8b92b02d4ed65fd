"""Prompts about one picture each, packed flat into arrays for a worker's pipe, and unpacked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from qzoom.images.pipeline import ImagePipeline
from qzoom.train.loader import Batch
from qzoom.train.tap_pass import TapStates, tap_states
from qzoom.zoom.chat import dialogue_ids
from qzoom.zoom.parts import ModelParts
from qzoom.zoom.prompt import lay_out

Turns = Sequence[tuple[str, str]]
"""Questions with the answers that follow them."""


@dataclass(frozen=True)
class Prompt:
    """One picture under a budget and the dialogue about it.

    Raises:
        ImageError: For a picture of a shape that the pipeline cannot take.
    """

    image: Image.Image
    turns: Turns
    pipeline: ImagePipeline

    def __post_init__(self) -> None:
        self.pipeline.grid_thw_for_size(self.image.size)


def pack_prompts(prompts: Sequence[Prompt], tokenizer: Any, image_token_id: int) -> Batch:
    """Patches, ids and asking rows of prompts, flat, with the sizes to split them by."""
    pixels = [prompt.pipeline([prompt.image]) for prompt in prompts]
    grid_thw = torch.cat([found.image_grid_thw for found in pixels])
    laid = [
        dialogue_ids(tokenizer, prompt.turns, [grid], image_token_id)
        for prompt, grid in zip(prompts, grids_of(grid_thw, prompts[0].pipeline), strict=True)
    ]
    return {
        "pixels": torch.cat([found.pixel_values for found in pixels]).numpy(),
        "grid_thw": grid_thw.numpy(),
        "ids": np.concatenate([ids.numpy() for ids, _ in laid]),
        "lengths": np.array([len(ids) for ids, _ in laid]),
        "asking": np.concatenate([np.array(rows) for _, rows in laid]),
        "turns": np.array([len(rows) for _, rows in laid]),
    }


def tap_prompts(
    parts: ModelParts, batch: Batch
) -> tuple[TapStates, list[list[int]], list[tuple[int, int]]]:
    """Run packed prompts to the tap.

    Returns:
        the states, each prompt's asking rows, and each picture's rows and columns of cells.
    """
    grid_thw = torch.as_tensor(batch["grid_thw"])
    grids = grids_of(grid_thw, parts.pipeline)
    with torch.no_grad():
        features = parts.backbone.encode(torch.as_tensor(batch["pixels"]), grid_thw)
    layouts = [
        lay_out(ids, [grid], parts.ids)
        for ids, grid in zip(split_flat(batch["ids"], batch["lengths"]), grids, strict=True)
    ]
    asking = [rows.tolist() for rows in split_flat(batch["asking"], batch["turns"])]
    return tap_states(parts, layouts, [[found] for found in features]), asking, grids


def grids_of(grid_thw: Tensor, pipeline: ImagePipeline) -> list[tuple[int, int]]:
    """Rows and columns of cells of grids in patches."""
    merge = pipeline.merge_size
    return [(high // merge, wide // merge) for _, high, wide in grid_thw.tolist()]


def split_flat(flat: Any, lengths: Any) -> list[Tensor]:
    """Stretches of these lengths, one after the other."""
    return list(torch.split(torch.as_tensor(flat), np.asarray(lengths).tolist()))
