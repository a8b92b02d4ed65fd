"""Region labels from a model's own attention: ask, read where the answer looked, threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from qzoom.backbones.base import VisionFeatures
from qzoom.labels.attention import HeadSet, attention_maps
from qzoom.labels.presets import HeadPreset, Kind
from qzoom.labels.region_settings import RegionLabelSettings, prompt_for
from qzoom.labels.sinks import feature_norms, norm_sinks
from qzoom.labels.store import LabelRow
from qzoom.labels.tristate import picture_cells, tristate_labels
from qzoom.zoom.chat import question_ids
from qzoom.zoom.model import ZoomModel
from qzoom.zoom.prompt import PromptLayout, lay_out
from qzoom.zoom.requests import batch_of, start
from qzoom.zoom.timings import Timings


@dataclass(frozen=True)
class RegionSample:
    """One question about one decoded picture; `path` is where a record names it."""

    id: str
    path: str
    image: Image.Image
    question: str
    kind: Kind


@dataclass(frozen=True)
class Responded:
    """A sample's prompt followed by its response, and what the response attended to is read from.

    asking: rows of generated tokens that were fed back, as every decoding step but the first did.
    """

    layout: PromptLayout
    features: list[VisionFeatures]
    asking: list[int]
    text: str


class RegionLabeller:
    """Labels batches of samples of one kind; holds no state between them."""

    def __init__(self, model: ZoomModel, heads: HeadPreset, settings: RegionLabelSettings) -> None:
        least = settings.cells if settings.layout == "square" else None
        self.model = model.with_budget(min_cells=least, max_cells=settings.cells)
        self.heads, self.settings = heads, settings

    def __call__(self, samples: Sequence[RegionSample]) -> list[LabelRow]:
        """Labels of samples of one kind, in order; those whose answer had one token have none."""
        kind = samples[0].kind
        responded = self.respond(samples)
        usable = [found for found in responded if found.asking]
        maps = iter(self._maps(usable, kind) if usable else [])
        return [
            self._row(sample, found, *next(maps)) if found.asking else _empty(sample, found)
            for sample, found in zip(samples, responded, strict=True)
        ]

    def respond(self, samples: Sequence[RegionSample]) -> list[Responded]:
        """Answer the samples directly and greedily, as one batch."""
        model, parts = self.model, self.model.parts
        tokenizer = model.require_tokenizer()
        side = model.pipeline.cell_side_px
        images = [self.settings.prepare(sample.image, side) for sample in samples]
        grids = [model.grid_of(image) for image in images]
        layouts = [
            lay_out(
                question_ids(
                    tokenizer, prompt_for(sample.question, sample.kind), [grid], parts.ids.image
                ),
                [grid],
                parts.ids,
            )
            for sample, grid in zip(samples, grids, strict=True)
        ]
        features = [[found] for found in model.encode(images)]
        options = model.options(zoom="never", max_new_tokens=self.settings.max_new_tokens)
        work = batch_of(parts, options, layouts, [[image] for image in images], features)
        run = start(work, Timings())
        run.finish()
        tokens = [answered.token_ids for answered in run.answered]
        return [
            with_response(model, layout, own, ids)
            for layout, own, ids in zip(layouts, features, tokens, strict=True)
        ]

    def _maps(
        self, responded: Sequence[Responded], kind: Kind
    ) -> list[tuple[Tensor, Tensor | None]]:
        """Attention and sink map of each response."""
        settings, parts = self.settings, self.model.parts
        sets: list[HeadSet] = [self.heads.grounding(kind)]
        if settings.sinks == "heads" and self.heads.sinks(kind).heads_by_layer:
            sets.append(self.heads.sinks(kind))
        layouts = [found.layout for found in responded]
        features = [found.features for found in responded]
        asking = [found.asking for found in responded]
        maps = attention_maps(parts, layouts, features, asking, sets)
        found: list[tuple[Tensor, Tensor | None]] = []
        norms: Sequence[Tensor | None] = [None] * len(layouts)
        if settings.sinks == "norm":
            norms = feature_norms(parts, layouts, features, settings.norm_layer)
        for row, norm_c in zip(maps, norms, strict=True):
            sink = row[1] if len(row) > 1 else None
            if norm_c is not None:
                sink = norm_sinks(norm_c, settings.norm_threshold)
            found.append((row[0], sink))
        return found

    def _row(
        self, sample: RegionSample, found: Responded, attention_c: Tensor, sink_c: Tensor | None
    ) -> LabelRow:
        grid = found.layout.grids_hw[0]
        attention = attention_c.view(grid).cpu()
        sink = None if sink_c is None else sink_c.view(grid).cpu()
        shown = None
        if self.settings.layout == "square":
            shown = picture_cells(sample.image.size, grid[0])
        labels = tristate_labels(attention, sink, self.settings.rule, shown)
        tensors = {"attention": attention, "labels": labels.labels_hw.to(torch.int8)}
        if sink is not None:
            tensors["sink"] = sink
        fields = _fields(sample, found) | {
            "teaches": labels.teaches,
            "box_cells_xyxy": list(labels.box_cells_xyxy),
        }
        return LabelRow(fields, tensors)


def with_response(
    model: ZoomModel, layout: PromptLayout, features: list[VisionFeatures], token_ids: list[int]
) -> Responded:
    """A prompt followed by the tokens that were generated for it."""
    ids = torch.cat([layout.input_ids, torch.tensor(token_ids, dtype=layout.input_ids.dtype)])
    text = model.require_tokenizer().decode(token_ids, skip_special_tokens=True)
    fed_back = list(range(layout.length, layout.length + len(token_ids) - 1))
    return Responded(lay_out(ids, layout.grids_hw, model.parts.ids), features, fed_back, text)


def _empty(sample: RegionSample, found: Responded) -> LabelRow:
    return LabelRow(_fields(sample, found) | {"teaches": False, "box_cells_xyxy": None}, {})


def _fields(sample: RegionSample, found: Responded) -> dict[str, Any]:
    return {
        "id": sample.id,
        "image": sample.path,
        "question": sample.question,
        "kind": sample.kind,
        "response": found.text,
        "grid_hw": list(found.layout.grids_hw[0]),
        "image_size_px": list(sample.image.size),
    }
