"""What a question gives back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class ZoomAnswer:
    """An answer and how it came about.

    text: decoded answer, without special tokens, cut before a stop string.
    zoomed: whether a crop was looked at.
    gate_probability: refine probability, or None when no gate was asked.
    boxes_xyxy_px: crops in source pixels (x1, y1, x2, y2), x2 and y2 exclusive.
    heatmap: region probabilities of shape `(rows, cols)` after sink mask and blur, on the CPU, or
        None when the region network did not run. Without a crop: nothing in it passed.
    image_index: source image the boxes and the heat map belong to.
    token_ids: generated ids, with the end token if one came.
    usage: "prompt_tokens" (the prompt as answered, a crop's block included), "visual_tokens" (cells
        of the source images), "roi_tokens" (cells of the crop) and "new_tokens".
    timings_s: seconds by part, of the whole batch where there was one: "encode", "prefill",
        "gate", "region", "crop", "zoom" (prefill over a crop), "decode", and "total".
    finish_reason: "stop" after an end token or a stop string, "length" at the limit of tokens.
    """

    text: str
    zoomed: bool
    gate_probability: float | None
    boxes_xyxy_px: list[tuple[int, int, int, int]]
    heatmap: Tensor | None
    image_index: int
    token_ids: list[int]
    usage: dict[str, int] = field(default_factory=dict)
    timings_s: dict[str, float] = field(default_factory=dict)
    finish_reason: str | None = None


class AnswerStream:
    """Pieces of text as they are generated; `answer` is set once the stream has ended."""

    def __init__(self, items: Iterator[str | ZoomAnswer]) -> None:
        self._items = items
        self.answer: ZoomAnswer | None = None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        item = next(self._items)
        if isinstance(item, ZoomAnswer):
            self.answer = item
            raise StopIteration
        return item


@dataclass(frozen=True)
class GenerateOutput:
    """Details of `ZoomModel.generate`; lists have one entry per prompt.

    sequences: prompts and generated tokens as transformers' generate returns them.
    logits: float32 of shape `(B, steps, vocabulary)`; rows that ended early hold zeros after.
    gate_probability: refine probability, or None when no gate was asked.
    roi_logits: raw map of shape `(rows, cols)`, or None when the region network did not run.
    sink_keep: cells the sink rule kept, or None where it struck none.
    roi_box_cells: (x1, y1, x2, y2) in source cells, x2 and y2 exclusive, of prompts that zoomed.
    roi_grid_thw: grid of the crop, in patches.
    position_ids: of shape `(3, n)` of the prompt as answered.
    zoomed: whether a crop was looked at.
    zoomed_input_ids: ids of the prompt with the crop's block, of prompts that zoomed.
    """

    sequences: Tensor
    logits: Tensor
    gate_probability: list[float | None]
    roi_logits: list[Tensor | None]
    sink_keep: list[Tensor | None]
    roi_box_cells: list[tuple[int, int, int, int] | None]
    roi_grid_thw: list[tuple[int, int, int] | None]
    position_ids: list[Tensor]
    zoomed: list[bool]
    zoomed_input_ids: list[Tensor | None]
