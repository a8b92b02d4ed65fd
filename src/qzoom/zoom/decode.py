"""Decoding prompts together, a token each and step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import torch

from qzoom.zoom.answered import Answered
from qzoom.zoom.choosing import Drawer, choose_tokens
from qzoom.zoom.layers import LayerRun
from qzoom.zoom.parts import ModelParts
from qzoom.zoom.slots import SlotStore
from qzoom.zoom.tickets import Lane

Give = Callable[[Answered, int], str]


class Decoder:
    """Generates for its members, who join between steps and leave when they are done.

    The tokens of a step are read by the host once; nothing else waits for the device.

    members: in the order of the rows.
    logits_bv: what the next tokens are chosen from, float32.
    """

    def __init__(self, parts: ModelParts) -> None:
        device = parts.backbone.device
        self.members: list[Answered] = []
        self.logits_bv = torch.empty(0, device=device)
        self._parts = parts
        self._store = SlotStore(len(parts.backbone.layers))
        self._drawers: list[Drawer] = []
        self._places_b = torch.empty(0, dtype=torch.long, device=device)
        self._tokens_b = torch.empty(0, dtype=torch.long, device=device)

    def join(self, lane: Lane, members: Sequence[Answered], *, borrow: bool = False) -> None:
        """Add prompts that went through a prefill together; not between `take` and `advance`.

        Where memory runs out in it, the members are those that they were.

        Args:
            borrow: nothing else is done with the lane's keys and values before they have left.
        """
        device = self._parts.backbone.device
        prompts = [member.ticket.answered for member in members]
        places_b = torch.tensor([prompt.next_position for prompt in prompts], device=device)
        drawers = [
            Drawer(member.options.sampling, prompt.input_ids, device)
            for member, prompt in zip(members, prompts, strict=True)
        ]
        with torch.inference_mode():
            several = bool(self.members)
            together = torch.cat([self.logits_bv, lane.logits_bv]) if several else lane.logits_bv
            places_b = torch.cat([self._places_b, places_b])
            self._store.join(lane.trunk, lane.spans, borrow=borrow)
        self.logits_bv, self._places_b = together, places_b
        self.members += members
        self._drawers += drawers

    def choose(self) -> list[int]:
        """The next token of each member."""
        with torch.inference_mode():
            self._tokens_b = choose_tokens(self.logits_bv, self._drawers)
        tokens: list[int] = self._tokens_b.tolist()
        return tokens

    def take(self, give: Give = Answered.take) -> list[tuple[Answered, str]]:
        """Give every member its next token, with the text that is now certain; the done leave.

        Args:
            give: hands a member its token and returns the text.
        """
        tokens, given = self.choose(), list[tuple[Answered, str]]()
        for place, (member, token) in enumerate(zip(self.members, tokens, strict=True)):
            if member.observe is not None:
                member.observe(self.logits_bv[place], token)
            given.append((member, give(member, token)))
        self.dismiss([member for member in self.members if member.finish_reason is not None])
        return given

    def dismiss(self, leaving: Collection[Answered]) -> None:
        """Let members go, done or not; their keys and values are let go with them."""
        gone = {id(member) for member in leaving}
        stays = [id(member) not in gone for member in self.members]
        if all(stays):
            return
        rows = _closed_up(stays)
        with torch.inference_mode():
            self._store.keep(rows)
            index = torch.tensor(rows, dtype=torch.long, device=self.logits_bv.device)
            self.logits_bv = self.logits_bv[index]
            self._places_b = self._places_b[index]
            if len(self._tokens_b) == len(self.members):
                self._tokens_b = self._tokens_b[index]
        self.members = [self.members[row] for row in rows]
        self._drawers = [self._drawers[row] for row in rows]

    def advance(self) -> None:
        """Append the chosen tokens, which gives the next logits."""
        backbone, store = self._parts.backbone, self._store
        with torch.inference_mode():
            store.begin_step()
            position_ids = self._places_b.expand(3, -1)[..., None]
            run = LayerRun(backbone, store, backbone.rotary(position_ids), store.valid_bs())
            out = run(backbone.layers, backbone.embed(self._tokens_b)[:, None])
            store.end_step()
            self.logits_bv = backbone.logits(out[:, -1])
            self._places_b = self._places_b + 1


def _closed_up(stays: Sequence[bool]) -> list[int]:
    """Rows that stay, the last ones in the places of those that go."""
    rows = [row for row, stay in enumerate(stays) if stay]
    count = len(rows)
    holes = (row for row in range(count) if not stays[row])
    moved = dict(zip(holes, (row for row in rows if row >= count), strict=True))
    return [moved.get(row, row) for row in range(count)]
