"""Where a response looked: its attention to the picture's cells, of chosen layers and heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qzoom.backbones.base import VisionFeatures
from qzoom.errors import ConfigError
from qzoom.zoom.parts import ModelParts
from qzoom.zoom.prompt import PromptLayout
from qzoom.zoom.uncached import UncachedRun, cell_rows


@dataclass(frozen=True)
class HeadSet:
    """Attention heads by trunk layer, both counted from 0."""

    heads_by_layer: Mapping[int, tuple[int, ...]]

    @property
    def depth(self) -> int:
        """Layers below the deepest one named; 0 without any."""
        return max(self.heads_by_layer, default=0)

    def check(self, layers: int, heads: int) -> None:
        """Compare with a trunk.

        Raises:
            ConfigError: When it names a layer or head that the trunk does not have, or none.
        """
        if not any(self.heads_by_layer.values()):
            raise ConfigError("no attention head is named; give layer: [heads]")
        for layer, named in self.heads_by_layer.items():
            if not 0 <= layer < layers:
                raise ConfigError(f"layer {layer} is named; the trunk has {layers} (from 0)")
            for head in named:
                if not 0 <= head < heads:
                    raise ConfigError(f"head {head} is named; a layer has {heads} (from 0)")


@torch.inference_mode()
def attention_maps(
    parts: ModelParts,
    layouts: Sequence[PromptLayout],
    features: Sequence[Sequence[VisionFeatures]],
    asking: Sequence[Sequence[int]],
    head_sets: Sequence[HeadSet],
) -> list[list[Tensor]]:
    """Attention to each source cell, mean over the heads of a set and the asking rows (eq. 10).

    Runs the trunk up to the deepest layer named and computes the weights of those rows and heads
    only; the softmax runs over all rows that a row can see.

    Args:
        layouts: prompts with their responses.
        features: per prompt, its encoded images in order.
        asking: per prompt, rows of the response whose attention counts.
        head_sets: what to average; one map each.

    Returns:
        per prompt and head set, a float32 map of shape `(cells of all images,)`.

    Raises:
        ConfigError: When a set names a layer or head that is not there, or a prompt no row.
    """
    text = parts.backbone.language.config
    for heads in head_sets:
        heads.check(len(parts.backbone.layers), text.num_attention_heads)
    if not all(asking):
        raise ConfigError("a response has no row whose attention could be read")
    run = UncachedRun.of(parts, layouts, features)
    reader = _Reader(run, asking, head_sets)
    deepest = max(heads.depth for heads in head_sets)
    reader.visit(deepest, run.trunk(deepest, reader.visit))
    return reader.means()


class _Reader:
    """Sums of attention rows, gathered while the trunk runs."""

    def __init__(
        self, run: UncachedRun, asking: Sequence[Sequence[int]], head_sets: Sequence[HeadSet]
    ) -> None:
        self.run, self.head_sets = run, head_sets
        device = run.rows.hidden_bnh.device
        self.asking = [torch.as_tensor(rows, device=device) for rows in asking]
        self.cells = [cell_rows(layout).to(device) for layout in run.layouts]
        self.sums = [[torch.zeros(len(c), device=device) for _ in head_sets] for c in self.cells]

    def visit(self, index: int, hidden_bnh: Tensor) -> None:
        """Add the named heads of one layer."""
        layer = self.run.parts.backbone.layers[index]
        for s, heads in enumerate(self.head_sets):
            named = heads.heads_by_layer.get(index, ())
            if not named:
                continue
            for b, (rows, cells) in enumerate(zip(self.asking, self.cells, strict=True)):
                weights = self.run.attention_of(layer, hidden_bnh, b, rows, named)
                self.sums[b][s] += weights[:, :, cells].mean(1).sum(0)

    def means(self) -> list[list[Tensor]]:
        """Maps per prompt and set."""
        counts = [sum(map(len, heads.heads_by_layer.values())) for heads in self.head_sets]
        return [
            [total / count for total, count in zip(row, counts, strict=True)] for row in self.sums
        ]
