"""The two ways to the first token: through the upper layers at once, or over a crop."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from qzoom.steps import Steps
from qzoom.zoom.cache import KVStore
from qzoom.zoom.crops import Crop
from qzoom.zoom.layers import LayerRun, Rows
from qzoom.zoom.parts import ModelParts
from qzoom.zoom.prefix import KeptCrop, Stretch
from qzoom.zoom.rows import rows_of
from qzoom.zoom.tap import Feed, Tap
from qzoom.zoom.tickets import Lane, Spans, Ticket, Work


def direct_lane(work: Work, tap: Tap, members: list[int]) -> Steps[Lane]:
    """Carry the coarse rows through the upper layers."""
    parts = work.parts
    trunk = _trunk_of(work, members)
    feed = tap.feed(trunk.length(parts.split)).select(members)
    run = LayerRun(parts.backbone, trunk, feed.rotary, feed.valid_bn, right_padded=True)
    logits_bv = yield from _to_logits(parts, run, feed)
    spans: Spans = [(range(work.tickets[member].layout.length),) for member in members]
    return Lane(members, trunk, spans, logits_bv)


def zoomed_lane(work: Work, tap: Tap, members: list[int]) -> Steps[Lane]:
    """Append crop and question to the prefix, then run the upper layers over what they lack."""
    parts = work.parts
    tickets = [work.tickets[member] for member in members]
    prefixes = [ticket.layout.prefix_length for ticket in tickets]
    trunk = _trunk_of(work, members)
    trunk.truncate(max(prefixes))
    starts = [_restore(trunk, ticket) for ticket in tickets]
    features = [[t.crop.features] if isinstance(t.crop, Crop) else [] for t in tickets]
    layouts = [ticket.answered for ticket in tickets]
    rows = rows_of(parts.backbone, layouts, features, starts, parts.ids.image)
    rotary = parts.backbone.rotary(rows.position_ids)
    valid_bs = _validity(prefixes, rows)
    even = min(prefixes) == max(prefixes)
    run = LayerRun(parts.backbone, trunk, rotary, valid_bs, right_padded=even)
    new = Stretch((yield from run.steps(parts.lower, rows.hidden_bnh, rows=rows)), rotary)
    last = [layout.length - start - 1 for layout, start in zip(layouts, starts, strict=True)]
    if trunk.length(parts.split) == 0:
        new = tap.prefixes(members, max(prefixes)).then(new)
        last = [index + max(prefixes) for index in last]
    feed = Feed(new, None, tuple(last))
    logits_bv = yield from _to_logits(parts, replace(run, rotary=new.rotary), feed)
    if work.state.reused:
        _keep(work, tickets[0])
    spans = [_spans(ticket, max(prefixes)) for ticket in tickets]
    return Lane(members, trunk, spans, logits_bv)


def _trunk_of(work: Work, members: list[int]) -> KVStore:
    """The trunk's store for some prompts: itself when they are all there are."""
    trunk = work.state.trunk
    if len(members) == len(work.tickets):
        return trunk
    return trunk.select(torch.tensor(members, device=work.parts.backbone.device))


def _restore(trunk: KVStore, ticket: Ticket) -> int:
    """Append a kept crop's rows, if there are any; returns the first row left to compute."""
    start = ticket.layout.prefix_length
    if not isinstance(ticket.crop, KeptCrop):
        return start
    trunk.append_rows(ticket.crop.rows)
    return start + ticket.answered.head_length


def _validity(prefixes: list[int], rows: Rows) -> Tensor | None:
    """Which slots are real once the rows follow prefixes of different lengths."""
    longest = max(prefixes)
    if rows.valid_bn is None and min(prefixes) == longest:
        return None
    device = rows.hidden_bnh.device
    lengths_b1 = torch.tensor(prefixes, device=device)[:, None]
    before_bp = torch.arange(longest, device=device) < lengths_b1
    after_bn = rows.valid_bn
    if after_bn is None:
        after_bn = before_bp.new_ones(rows.hidden_bnh.shape[:2])
    return torch.cat([before_bp, after_bn], 1)


def _spans(ticket: Ticket, longest_prefix: int) -> tuple[range, ...]:
    """Where a prompt lies whose question follows the longest prefix of its lane."""
    prefix = ticket.layout.prefix_length
    if prefix == longest_prefix:
        return (range(ticket.answered.length),)
    rest = ticket.answered.length - prefix
    return range(prefix), range(longest_prefix, longest_prefix + rest)


def _to_logits(parts: ModelParts, run: LayerRun, feed: Feed) -> Steps[Tensor]:
    """Logits after each prompt's last row, of shape `(B, vocabulary)`."""
    out = yield from run.steps(
        parts.upper, feed.hidden_bnh, first_index=parts.split, last_b=feed.last_b
    )
    return parts.backbone.logits(out[:, -1])


def _keep(work: Work, ticket: Ticket) -> None:
    crop, state = ticket.crop, work.state
    if not isinstance(crop, Crop) or ticket.region is None:
        return
    rows = state.trunk.copy_rows(state.length, state.length + ticket.answered.head_length)
    kept = KeptCrop(crop.box_px_xyxy, crop.grid_thw, crop.grid_hw, rows)
    state.keep_crop(*ticket.region, kept)
