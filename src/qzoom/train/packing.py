"""Many questions about one picture in one forward pass.

Layout of a packed row: the shared prefix (user header, <vision_start>, coarse cells), then G groups
of equal length. A direct group is [<vision_end>, question, header, answer]; a zoomed group starts
with [<vision_end>, <vision_start>, RoI cells]. Every group sees the prefix and itself only, at the
positions it would have alone, so each is exactly an ordinary prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from qzoom.geometry.positions import (
    image_positions,
    roi_positions_aligned,
    text_positions,
)
from qzoom.synth.vocabulary import token_id
from qzoom.synth.window_labels import IGNORE


@dataclass(frozen=True)
class Tokens:
    """Ids of the fixed parts of a prompt."""

    prefix: tuple[int, ...]
    vision_start: int
    vision_end: int
    image: int
    pad: int

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast) -> Tokens:
        """Read the ids from a tokenizer."""
        return cls(
            tuple(tokenizer("<|im_start|>user\n<|vision_start|>").input_ids),
            token_id(tokenizer, "<|vision_start|>"),
            token_id(tokenizer, "<|vision_end|>"),
            token_id(tokenizer, "<|image_pad|>"),
            token_id(tokenizer, "<|endoftext|>"),
        )


def encode_turn(
    tokenizer: PreTrainedTokenizerFast, question: str, answer: str
) -> tuple[list[int], int]:
    """Ids of the text after the picture up to and with the answer, and the index of its start."""
    asked = tokenizer(f"{question}<|im_end|>\n<|im_start|>assistant\n").input_ids
    answered = tokenizer(f"{answer}<|im_end|>").input_ids
    return [*asked, *answered], len(asked)


def group_mask(prefix: int, groups: int, length: int) -> Tensor:
    """Boolean mask of shape `(1, 1, n, n)`, true where a row may look."""
    total = prefix + groups * length
    member = torch.full((total,), -1)
    member[prefix:] = torch.arange(groups).repeat_interleave(length)
    same = (member[:, None] == member[None]) | (member[None] == -1)
    return (same & torch.ones(total, total, dtype=torch.bool).tril())[None, None]


def pad_texts(turns: Sequence[Sequence[tuple[list[int], int]]], pad: int) -> tuple[Tensor, Tensor]:
    """Pad turns to one length.

    Returns:
        ids and labels of shape `(batch, groups, length)`; a label is the id that row must predict.
    """
    length = max(len(ids) for row in turns for ids, _ in row)
    shape = (len(turns), len(turns[0]), length)
    ids_bgl, labels_bgl = torch.full(shape, pad), torch.full(shape, IGNORE)
    for b, row in enumerate(turns):
        for g, (ids, start) in enumerate(row):
            ids_bgl[b, g, : len(ids)] = torch.tensor(ids)
            labels_bgl[b, g, start - 1 : len(ids) - 1] = torch.tensor(ids[start:])
    return ids_bgl, labels_bgl


def packed_positions(
    prefix_text: int,
    source_hw: tuple[int, int],
    text_length: int,
    groups: int,
    boxes_bg: Sequence[Sequence[tuple[int, int, int, int]]] | None,
    roi_hw: tuple[int, int] | None,
) -> Tensor:
    """Positions of shape `(3, batch or 1, n)` of the packed layout."""
    head = text_positions(prefix_text, 0)
    source = image_positions(*source_hw, prefix_text)
    after = prefix_text + max(source_hw)
    if boxes_bg is None or roi_hw is None:
        tail = text_positions(1 + text_length, after)
        return torch.cat([head, source, *([tail] * groups)], 1)[:, None].float()
    rows = []
    for boxes in boxes_bg:
        parts = [head.float(), source.float()]
        for box in boxes:
            parts.append(text_positions(2, after).float())
            parts.append(roi_positions_aligned(prefix_text, box, roi_hw, after + 2).float())
            parts.append(text_positions(1 + text_length, after + 2 + max(roi_hw)).float())
        rows.append(torch.cat(parts, 1))
    return torch.stack(rows, 1)
