"""Decoding one lane of prompts token by token."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from qzoom.zoom.layers import LayerRun
from qzoom.zoom.parts import ModelParts
from qzoom.zoom.prompt import PromptLayout
from qzoom.zoom.sampling import Chooser, Sampling
from qzoom.zoom.tickets import Lane


class Decoder:
    """Generates for the members of one lane, a token each and step.

    The tokens of a step are read by the host once; nothing else waits for the device.

    logits_bv: what the next tokens are chosen from, float32.
    """

    def __init__(
        self, parts: ModelParts, lane: Lane, prompts: Sequence[PromptLayout], sampling: Sampling
    ) -> None:
        """Start after prefill; `prompts` are the members' as answered, in the lane's order."""
        device = parts.backbone.device
        self.logits_bv = lane.logits_bv
        self._parts = parts
        self._trunk = lane.trunk
        self._valid_bs = lane.valid_bs
        self._choose = Chooser(sampling, [prompt.input_ids for prompt in prompts], device)
        self._places_b = torch.tensor([prompt.next_position for prompt in prompts], device=device)
        self._tokens_b = torch.empty(0)

    def choose(self) -> list[int]:
        """The next token of each member."""
        self._tokens_b = self._choose(self.logits_bv)
        tokens: list[int] = self._tokens_b.tolist()
        return tokens

    def advance(self) -> None:
        """Append the chosen tokens, which gives the next logits."""
        backbone = self._parts.backbone
        with torch.inference_mode():
            if self._valid_bs is not None:
                more_b1 = self._valid_bs.new_ones(len(self._valid_bs), 1)
                self._valid_bs = torch.cat([self._valid_bs, more_b1], 1)
            position_ids = self._places_b.expand(3, -1)[..., None]
            run = LayerRun(backbone, self._trunk, backbone.rotary(position_ids), self._valid_bs)
            out = run(backbone.layers, backbone.embed(self._tokens_b)[:, None])
            self.logits_bv = backbone.logits(out[:, -1])
            self._places_b = self._places_b + 1
