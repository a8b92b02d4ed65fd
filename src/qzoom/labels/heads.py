"""Which heads of a model ground its answers, and which collect sinks, found on boxed samples."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from qzoom.backbones.base import VisionFeatures
from qzoom.errors import ConfigError
from qzoom.labels.attention import HeadSet
from qzoom.zoom.parts import ModelParts
from qzoom.zoom.prompt import PromptLayout
from qzoom.zoom.uncached import UncachedRun, cell_rows


@dataclass(frozen=True)
class BoxedSample:
    """A prompt with its response, and the cells that hold the answer.

    asking: rows of the response whose attention counts.
    inside_c: boolean of shape `(cells,)`, true on the answer's cells.
    """

    layout: PromptLayout
    features: tuple[VisionFeatures, ...]
    asking: tuple[int, ...]
    inside_c: Tensor


@dataclass(frozen=True)
class HeadScores:
    """What was measured of each head, each of shape `(layers, heads)`, means over the samples.

    inside: share of the attention on cells that lies on the answer's cells.
    hit: how often the cell with most attention is one of the answer's.
    on_cells: share of all attention that lies on cells.
    strays: attention of the strongest cell where that is not one of the answer's, else 0.
    """

    inside: Tensor
    hit: Tensor
    on_cells: Tensor
    strays: Tensor
    samples: int

    def grounding_heads(self, count: int, least_hit: float = 0.3) -> HeadSet:
        """The heads that look most at the answer.

        Raises:
            ConfigError: When no head finds the answer in `least_hit` of the samples.
        """
        score = torch.where(self.hit >= least_hit, self.inside, torch.zeros_like(self.inside))
        if not bool((score > 0).any()):
            best = float(self.hit.max())
            raise ConfigError(
                f"no head's strongest cell is the answer's in {least_hit:.0%} of {self.samples} "
                f"samples (best: {best:.0%}); check the boxes or lower --least-hit"
            )
        return _top(score, count)

    def sink_heads(self, count: int) -> HeadSet:
        """The heads that put most attention on single cells that are not the answer's."""
        return _top(self.strays * (1 - self.hit), count)


@torch.inference_mode()
def score_heads(parts: ModelParts, samples: Iterable[BoxedSample]) -> HeadScores:
    """Measure every head of every trunk layer on boxed samples, one at a time.

    Raises:
        ConfigError: When there is no sample.
    """
    sums, seen = torch.zeros(()), 0
    for sample in samples:
        sums = sums + _score_sample(parts, sample)
        seen += 1
    if not seen:
        raise ConfigError("no sample has a box; heads are found on samples with answer boxes")
    inside, hit, on_cells, strays = sums / seen
    return HeadScores(inside, hit, on_cells, strays, seen)


def _score_sample(parts: ModelParts, sample: BoxedSample) -> Tensor:
    """Measures of every head on one sample, of shape `(4, layers, heads)`."""
    layers, heads = parts.backbone.layers, range(parts.backbone.language.config.num_attention_heads)
    run = UncachedRun.of(parts, [sample.layout], [sample.features])
    cells, asking = cell_rows(sample.layout), torch.tensor(sample.asking)
    measured: list[Tensor] = []

    def visit(index: int, hidden: Tensor) -> None:
        weights = run.attention_of(layers[index], hidden, 0, asking, heads)
        measured.append(_measure(weights.mean(1)[:, cells].cpu().double(), sample.inside_c))

    run.trunk(len(layers), visit)
    return torch.stack(measured, 1)


def _measure(attention_ac: Tensor, inside_c: Tensor) -> Tensor:
    """Inside share, hit, share on cells and stray peak of each head, of shape `(4, heads)`."""
    on_cells = attention_ac.sum(1)
    inside = attention_ac[:, inside_c].sum(1) / on_cells.clamp_min(1e-12)
    peak, place = attention_ac.max(1)
    hit = inside_c[place]
    return torch.stack([inside, hit.double(), on_cells, torch.where(hit, 0.0, peak)])


def _top(score_lh: Tensor, count: int) -> HeadSet:
    best = score_lh.flatten().argsort(descending=True, stable=True)[:count]
    found: dict[int, list[int]] = {}
    for place in sorted(best.tolist()):
        layer, head = divmod(place, score_lh.shape[1])
        found.setdefault(layer, []).append(head)
    return HeadSet({layer: tuple(heads) for layer, heads in found.items()})
