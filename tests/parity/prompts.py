"""Random prompts with random pictures, as a transformers processor would hand them over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tests.parity.batches import padded
from tests.tiny import Family
from torch import Tensor

IMAGE, VISION_START, VISION_END = 5, 3, 4
# Ordinary tokens of the tiny vocabulary: all but the special ones.
FIRST_WORD, LAST_WORD = 8, 158
CHANNELS, FRAMES, MERGE = 3, 2, 2
PATCH_SIDE = {"qwen3_vl": 16, "qwen2_5_vl": 14}


@dataclass(frozen=True)
class Prompt:
    """One unpadded prompt.

    ids: of shape `(n,)`; pixels: patches of its pictures; grid_thw: of shape `(images, 3)`.
    """

    ids: Tensor
    pixels: Tensor
    grid_thw: Tensor

    @property
    def grids_hw(self) -> list[tuple[int, int]]:
        """Rows and columns of cells of each picture."""
        return [(h // MERGE, w // MERGE) for _, h, w in self.grid_thw.tolist()]


def random_prompt(
    family: Family, grids_hw: Sequence[tuple[int, int]], *, words: int = 9, seed: int = 0
) -> Prompt:
    """A system turn, pictures of these grids in cells, and a question of random words.

    Of one seed, all questions follow the same pictures.
    """
    draw, paint = (torch.Generator().manual_seed(seed) for _ in range(2))

    def text(count: int) -> list[int]:
        return torch.randint(FIRST_WORD, LAST_WORD, (count,), generator=draw).tolist()

    ids = [1, *text(4), 2, 7, 1, *text(1), 7]
    for rows, cols in grids_hw:
        ids += [VISION_START, *[IMAGE] * (rows * cols), VISION_END]
    ids += [*text(words), 2, 7, 1, *text(1), 7]
    grid = [[1, rows * MERGE, cols * MERGE] for rows, cols in grids_hw]
    patches = sum(high * wide for _, high, wide in grid)
    values = CHANNELS * FRAMES * PATCH_SIDE[family] ** 2
    pixels = torch.randn(patches, values, generator=paint)
    return Prompt(torch.tensor(ids), pixels, torch.tensor(grid, dtype=torch.long).view(-1, 3))


def batch_of(prompts: Sequence[Prompt], side: str = "left") -> dict[str, Any]:
    """Keyword arguments of `generate` for prompts padded on one side."""
    ids, mask = padded([prompt.ids for prompt in prompts], side)
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
    inputs["mm_token_type_ids"] = (ids == IMAGE).int()
    if any(len(prompt.grid_thw) for prompt in prompts):
        inputs["pixel_values"] = torch.cat([prompt.pixels for prompt in prompts])
        inputs["image_grid_thw"] = torch.cat([prompt.grid_thw for prompt in prompts])
    return inputs
