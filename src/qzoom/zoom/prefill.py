"""From prompts to first-token logits: coarse pass, gate, region, crop, and the rest of the layers.

One code path serves a session (one row, its prefix kept in a `PrefixState`) and a batch (ragged
rows, a fresh state): rows are appended, then routed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import torch
from PIL import Image
from torch import Tensor

from qzoom.backbones.base import Rotary, VisionFeatures
from qzoom.zoom.cache import KVStore
from qzoom.zoom.config import ZoomConfig
from qzoom.zoom.crops import Crop, encode_crop
from qzoom.zoom.gate import gate_probabilities
from qzoom.zoom.layers import LayerRun, Rows
from qzoom.zoom.parts import ModelParts
from qzoom.zoom.prefix import KeptCrop, PrefixState
from qzoom.zoom.prompt import PromptLayout, with_crop
from qzoom.zoom.region import RegionChoice, choose_region, region_keys, region_logits
from qzoom.zoom.rows import last_rows, rows_of

T = TypeVar("T")
Zoom = Literal["auto", "never", "always"]


@dataclass
class Ticket:
    """One prompt on its way: what goes in and what was decided.

    images: decoded source pictures, for crops; features: the same, encoded.
    final: the prompt as answered, with the crop's block if it zoomed.
    """

    layout: PromptLayout
    images: Sequence[Image.Image]
    features: Sequence[VisionFeatures]
    gate_probability: float | None = None
    choice: RegionChoice | None = None
    crop: Crop | KeptCrop | None = None
    final: PromptLayout | None = None

    @property
    def answered(self) -> PromptLayout:
        """The prompt that the answer continues."""
        return self.final or self.layout


@dataclass
class Lane:
    """Prompts that took the same way and decode together.

    valid_bs: which slots of the trunk's store hold real rows, or None when all do.
    """

    members: list[int]
    trunk: KVStore
    valid_bs: Tensor | None
    logits_bv: Tensor


@dataclass
class Prefill:
    """One batch of prompts (or one question of a session) up to the first token."""

    parts: ModelParts
    config: ZoomConfig
    zoom: Zoom
    tickets: list[Ticket]
    state: PrefixState
    timings_s: dict[str, float] = field(default_factory=dict)

    def run(self) -> list[Lane]:
        """Route every prompt and return the lanes to decode."""
        tap = self._timed("prefill", self._coarse)
        zooming = self._timed("gate", lambda: self._gate(tap))
        if zooming:
            zooming = self._timed("region", lambda: self._regions(tap, zooming))
        if zooming:
            zooming = self._timed("crop", lambda: self._crops(zooming))
        direct = [i for i in range(len(self.tickets)) if i not in set(zooming)]
        lanes = []
        if direct:
            lanes.append(self._timed("prefill", lambda: self._finish_direct(tap, direct, not zooming)))
        if zooming:
            lanes.append(self._timed("zoom", lambda: self._finish_zoomed(tap, zooming, not direct)))
        return lanes

    def _timed(self, name: str, work: Callable[[], T]) -> T:
        began = time.perf_counter()
        result = work()
        self.timings_s[name] = self.timings_s.get(name, 0.0) + time.perf_counter() - began
        return result

    def _coarse(self) -> Tap:
        """Append what is new of each prompt to the lower layers; the tap is what leaves them."""
        parts, state = self.parts, self.state
        cached = state.tap_bnh is not None
        layouts = [ticket.layout for ticket in self.tickets]
        start = state.length if cached else 0
        features = [() if cached else ticket.features for ticket in self.tickets]
        rows = rows_of(
            parts.backbone, layouts, features, [start] * len(layouts), parts.ids.image
        )
        rotary = parts.backbone.rotary(rows.position_ids)
        run = LayerRun(parts.backbone, state.trunk, rotary, rows.valid_bn)
        new = run(parts.lower, rows.hidden_bnh, rows=rows)
        if state.tap_bnh is not None and state.rotary is not None:
            return Tap(start, new, rotary, state.tap_bnh, state.rotary, None, rows)
        state.tap_bnh = new[:, : state.length]
        state.rotary = (rotary[0][:, : state.length], rotary[1][:, : state.length])
        return Tap(0, new, rotary, None, None, rows.valid_bn, rows)

    def _gate(self, tap: Tap) -> list[int]:
        """Members that want a closer look: probability at or above the threshold."""
        everyone = [i for i, t in enumerate(self.tickets) if t.layout.grids_hw]
        add_on = self.parts.add_on
        if add_on is None or self.zoom == "never" or not everyone:
            return []
        if add_on.gate is None or self.zoom == "always":
            return everyone
        hidden, rotary, last = tap.feed(self.state.gate.length(0))
        run = LayerRun(self.parts.backbone, self.state.gate, rotary, tap.valid_bn)
        probabilities = gate_probabilities(add_on.gate, run, hidden, last).tolist()
        for index in everyone:
            self.tickets[index].gate_probability = probabilities[index]
        return [i for i in everyone if probabilities[i] >= self.config.gate_threshold]

    def _regions(self, tap: Tap, members: list[int]) -> list[int]:
        """Members whose map has a cell above the threshold."""
        assert self.parts.add_on is not None
        branch, state = self.parts.add_on.region, self.state
        filled = state.region_keys is not None
        hidden, rotary, last = tap.feed(state.length if filled else 0)
        valid_bn = tap.valid_bn
        if len(members) < len(self.tickets):
            index = torch.tensor(members, device=hidden.device)
            hidden, last = hidden[index], last[index]
            rotary = (rotary[0][index], rotary[1][index])
            valid_bn = None if valid_bn is None else valid_bn[index]
        run = LayerRun(self.parts.backbone, state.region, rotary, valid_bn)
        out = run(branch.layers, hidden, last_b=last if filled and branch.layers else None)
        for place, member in enumerate(members):
            ticket = self.tickets[member]
            row, (cos, sin) = int(last[place]), (rotary[0][place], rotary[1][place])
            keys = state.region_keys
            if keys is None:
                at = (ticket.layout.input_ids == self.parts.ids.image).nonzero()[:, 0].to(out.device)
                keys = region_keys(
                    branch.final,
                    out[place, at],
                    (cos[None, at], sin[None, at]),
                    out[place, 0],
                    (cos[None, :1], sin[None, :1]),
                    self.config.sink_rule,
                )
            if len(self.tickets) == 1:
                state.region_keys = keys
            final_row = out[place, min(row, out.shape[1] - 1)]
            spot = (cos[None, row : row + 1], sin[None, row : row + 1])
            logits = region_logits(branch.final, final_row, spot, keys)
            ticket.choice = choose_region(logits, keys, ticket.layout.grids_hw, self.config)
        return [m for m in members if self._box_of(m) is not None]

    def _box_of(self, member: int) -> object:
        choice = self.tickets[member].choice
        return choice.box_cells_xyxy if choice is not None else None

    def _crops(self, members: list[int]) -> list[int]:
        """Members whose crop could be encoded (or was kept from an earlier question)."""
        return [member for member in members if self._crop(self.tickets[member])]

    def _crop(self, ticket: Ticket) -> bool:
        choice = ticket.choice
        assert choice is not None and choice.box_cells_xyxy is not None
        kept = self.state.crops.get((choice.image_index, choice.box_cells_xyxy))
        crop: Crop | KeptCrop | None = kept or encode_crop(
            self.parts.backbone,
            self.parts.pipeline,
            ticket.images[choice.image_index],
            choice.box_cells_xyxy,
            ticket.layout.grids_hw[choice.image_index],
            self.config,
        )
        if crop is None:
            return False
        ticket.crop = crop
        ticket.final = with_crop(
            ticket.layout,
            choice.image_index,
            choice.box_cells_xyxy,
            crop.roi_hw if isinstance(crop, KeptCrop) else crop.features.grid_hw,
            self.parts.ids,
            align=self.config.align_roi_positions,
        )
        return True

    def _finish_direct(self, tap: Tap, members: list[int], alone: bool) -> Lane:
        """Carry the coarse rows through the upper layers."""
        trunk, valid = self.state.trunk, tap.valid_bn
        hidden, rotary, last = tap.feed(trunk.length(self.parts.split))
        if not alone:
            index = torch.tensor(members, device=hidden.device)
            trunk, hidden, last = trunk.select(index), hidden[index], last[index]
            rotary = (rotary[0][index], rotary[1][index])
            valid = None if valid is None else valid[index]
        return self._finish(members, trunk, hidden, rotary, valid, last)

    def _finish_zoomed(self, tap: Tap, members: list[int], alone: bool) -> Lane:
        """Append crop and question to the prefix, then run the upper layers over all of it."""
        state, parts = self.state, self.parts
        tickets = [self.tickets[member] for member in members]
        index = torch.tensor(members, device=parts.backbone.device)
        trunk = state.trunk if alone else state.trunk.select(index)
        prefixes = [ticket.layout.prefix_length for ticket in tickets]
        longest = max(prefixes)
        prefix, prefix_rotary = tap.prefix(longest)
        prefix, prefix_rotary = prefix[index], (prefix_rotary[0][index], prefix_rotary[1][index])
        trunk.truncate(longest)
        kept = tickets[0].crop if isinstance(tickets[0].crop, KeptCrop) else None
        starts = list(prefixes)
        if kept is not None:
            trunk.append_rows(kept.rows)
            starts = [prefixes[0] + tickets[0].answered.head_length]
        features = [[t.crop.features] if isinstance(t.crop, Crop) else [] for t in tickets]
        rows = rows_of(
            parts.backbone, [t.answered for t in tickets], features, starts, parts.ids.image
        )
        valid = _joined_validity(prefixes, longest, rows)
        rotary = parts.backbone.rotary(rows.position_ids)
        new = LayerRun(parts.backbone, trunk, rotary, valid)(
            parts.lower, rows.hidden_bnh, rows=rows
        )
        last = last_rows(rows.valid_bn, len(members), new.shape[1], new.device)
        if trunk.length(parts.split) == 0:
            new, last = torch.cat([prefix, new], 1), last + longest
            rotary = _join(prefix_rotary, rotary)
        lane = self._finish(members, trunk, new, rotary, valid, last)
        if len(self.tickets) == 1 and isinstance(tickets[0].crop, Crop):
            self._keep(tickets[0])
        return lane

    def _finish(
        self,
        members: list[int],
        trunk: KVStore,
        hidden_bnh: Tensor,
        rotary: Rotary,
        valid_bs: Tensor | None,
        last_b: Tensor,
    ) -> Lane:
        run = LayerRun(self.parts.backbone, trunk, rotary, valid_bs)
        out = run(self.parts.upper, hidden_bnh, first_index=self.parts.split, last_b=last_b)
        return Lane(members, trunk, valid_bs, self.parts.backbone.logits(out[:, -1]))

    def _keep(self, ticket: Ticket) -> None:
        crop, choice = ticket.crop, ticket.choice
        assert isinstance(crop, Crop) and choice is not None and choice.box_cells_xyxy is not None
        start = self.state.length
        rows = self.state.trunk.copy_rows(start, start + ticket.answered.head_length)
        kept = KeptCrop(crop.features.grid_hw, crop.grid_thw, crop.box_px_xyxy, rows)
        self.state.keep_crop((choice.image_index, choice.box_cells_xyxy), kept)


@dataclass(frozen=True)
class Tap:
    """States after layer B: of the prefix, if an earlier question computed them, and of new rows.

    start: slot of the first new row.
    valid_bn: which new rows are real, or None; only ever set when nothing was cached.
    """

    start: int
    new_bnh: Tensor
    rotary: Rotary
    cached_bnh: Tensor | None
    cached_rotary: Rotary | None
    valid_bn: Tensor | None
    rows: Rows

    def feed(self, filled: int) -> tuple[Tensor, Rotary, Tensor]:
        """Rows a store still lacks, their rotary tables and the index of each last real row.

        Args:
            filled: slots the store already holds: none, or the whole prefix.
        """
        hidden, rotary = self.new_bnh, self.rotary
        if filled < self.start and self.cached_bnh is not None and self.cached_rotary is not None:
            hidden = torch.cat([self.cached_bnh, hidden], 1)
            rotary = _join(self.cached_rotary, rotary)
        last = last_rows(self.valid_bn, len(hidden), hidden.shape[1], hidden.device)
        return hidden, rotary, last

    def prefix(self, length: int) -> tuple[Tensor, Rotary]:
        """The first rows of the prompts."""
        if self.cached_bnh is not None and self.cached_rotary is not None:
            return self.cached_bnh, self.cached_rotary
        cos, sin = self.rotary
        return self.new_bnh[:, :length], (cos[:, :length], sin[:, :length])


def _join(first: Rotary, second: Rotary) -> Rotary:
    return torch.cat([first[0], second[0]], 1), torch.cat([first[1], second[1]], 1)


def _joined_validity(prefixes: list[int], longest: int, rows: Rows) -> Tensor | None:
    """Which slots are real once the rows follow prefixes of different lengths."""
    if rows.valid_bn is None and len(set(prefixes)) == 1:
        return None
    batch, count = rows.hidden_bnh.shape[:2]
    device = rows.hidden_bnh.device
    before = torch.arange(longest, device=device) < torch.tensor(prefixes, device=device)[:, None]
    after = rows.valid_bn
    if after is None:
        after = torch.ones(batch, count, dtype=torch.bool, device=device)
    return torch.cat([before, after], 1)
