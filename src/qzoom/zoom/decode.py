"""Decoding one lane of prompts token by token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from qzoom.zoom.layers import LayerRun
from qzoom.zoom.parts import ModelParts
from qzoom.zoom.prefill import Lane
from qzoom.zoom.prompt import PromptLayout
from qzoom.zoom.sampling import Chooser, Sampling


@dataclass(frozen=True)
class Step:
    """One generated token per member of a lane.

    tokens: the token of each member, or None where it had ended before.
    logits_bv: what they were chosen from, float32.
    """

    tokens: list[int | None]
    logits_bv: Tensor


def decode(
    parts: ModelParts,
    lane: Lane,
    prompts: Sequence[PromptLayout],
    sampling: Sampling,
    eos_token_ids: frozenset[int],
) -> Iterator[Step]:
    """Generate until every member ended or the limit is reached.

    The tokens of a step are read by the host once; nothing else waits for the device.

    Args:
        prompts: the members' prompts as answered, in the lane's order.
    """
    device = parts.backbone.device
    choose = Chooser(sampling, device)
    history = pad_sequence([p.input_ids for p in prompts], batch_first=True).to(device)
    places = torch.tensor([p.next_position for p in prompts], device=device)
    logits, valid = lane.logits_bv, lane.valid_bs
    ended = [False] * len(prompts)
    for step in range(sampling.max_new_tokens):
        chosen = choose(history, logits)
        read = chosen.tolist()
        tokens = [None if done else token for done, token in zip(ended, read, strict=True)]
        ended = [done or token in eos_token_ids for done, token in zip(ended, read, strict=True)]
        yield Step(tokens, logits)
        if all(ended) or step + 1 == sampling.max_new_tokens:
            return
        if choose.needs_history:
            history = torch.cat([history, chosen[:, None]], 1)
        if valid is not None:
            valid = torch.cat([valid, valid.new_ones(len(valid), 1)], 1)
        logits = _advance(parts, lane, chosen, (places + step).expand(3, -1)[..., None], valid)


def _advance(
    parts: ModelParts, lane: Lane, tokens: Tensor, position_ids: Tensor, valid_bs: Tensor | None
) -> Tensor:
    backbone = parts.backbone
    with torch.inference_mode():
        run = LayerRun(backbone, lane.trunk, backbone.rotary(position_ids), valid_bs)
        out = run(backbone.layers, backbone.embed(tokens)[:, None])
        return backbone.logits(out[:, -1])
