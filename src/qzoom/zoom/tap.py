"""The tap: states that leave the lower layers and feed gate, region network and upper layers.

Shapes: B batch, N rows, H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qzoom.backbones.base import Rotary
from qzoom.steps import Steps
from qzoom.zoom.layers import LayerRun
from qzoom.zoom.prefix import Stretch
from qzoom.zoom.rows import rows_of
from qzoom.zoom.tickets import Work


@dataclass(frozen=True)
class Feed:
    """What is appended to a store: rows, which of them are real, and each prompt's last one.

    valid_bn: of shape `(B, N)`, or None when all are real; only ever set for whole prompts, which
        are padded on the right.
    last: index of each prompt's last row.
    """

    rows: Stretch
    valid_bn: Tensor | None
    last: tuple[int, ...]

    @property
    def hidden_bnh(self) -> Tensor:
        """States of the rows."""
        return self.rows.hidden_bnh

    @property
    def rotary(self) -> Rotary:
        """Rotary tables of the rows."""
        return self.rows.rotary

    @property
    def last_b(self) -> Tensor:
        """Index of each last row, on the device."""
        return torch.tensor(self.last, device=self.hidden_bnh.device)

    def select(self, members: Sequence[int]) -> Feed:
        """The rows of some prompts."""
        if len(members) == len(self.last):
            return self
        index = torch.tensor(members, device=self.hidden_bnh.device)
        valid_bn = None if self.valid_bn is None else self.valid_bn[index]
        return Feed(self.rows.select(index), valid_bn, tuple(self.last[m] for m in members))


@dataclass(frozen=True)
class Tap:
    """States after layer B: of the prefix, if an earlier question computed them, and of new rows.

    prefix: None when the new rows are whole prompts.
    """

    prefix: Stretch | None
    new: Feed

    def feed(self, filled: int) -> Feed:
        """What a store still lacks.

        Args:
            filled: slots the store already holds: none, or the whole prefix.
        """
        if filled or self.prefix is None:
            return self.new
        shift = self.prefix.length
        last = tuple(index + shift for index in self.new.last)
        return Feed(self.prefix.then(self.new.rows), None, last)

    def prefixes(self, members: Sequence[int], length: int) -> Stretch:
        """The first rows of some prompts."""
        if self.prefix is not None:
            return self.prefix
        return self.new.select(members).rows.first(length)


def take_tap(work: Work) -> Steps[Tap]:
    """Append what is new of each prompt to the lower layers; the tap is what leaves them."""
    parts, state = work.parts, work.state
    prefix = state.tap
    layouts = [ticket.layout for ticket in work.tickets]
    start = 0 if prefix is None else prefix.length
    features = [ticket.features if prefix is None else () for ticket in work.tickets]
    rows = rows_of(parts.backbone, layouts, features, [start] * len(layouts), parts.ids.image)
    rotary = parts.backbone.rotary(rows.position_ids)
    run = LayerRun(parts.backbone, state.trunk, rotary, rows.valid_bn, right_padded=True)
    new = Stretch((yield from run.steps(parts.lower, rows.hidden_bnh, rows=rows)), rotary)
    if prefix is None and state.reused:
        state.tap = new.first(state.length)
    last = tuple(layout.length - start - 1 for layout in layouts)
    return Tap(prefix, Feed(new, rows.valid_bn, last))
