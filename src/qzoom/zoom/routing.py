"""Which prompts get a closer look, and at what: gate, region network, crop.

Each step takes the members still in question, by their places among the tickets, and returns those
that go on; the others are answered directly.
"""

from __future__ import annotations

from torch import Tensor

from qzoom.geometry.boxes import pixels_to_cells
from qzoom.zoom.branches import RegionBranch
from qzoom.zoom.crops import Crop, encode_crop
from qzoom.zoom.gate import gate_probabilities
from qzoom.zoom.layers import LayerRun
from qzoom.zoom.prefix import KeptCrop
from qzoom.zoom.prompt import with_crop
from qzoom.zoom.region import RegionKeys, choose_region, region_keys, region_logits
from qzoom.zoom.tap import Feed, Tap
from qzoom.zoom.tickets import Ticket, Work


def ask_gate(work: Work, tap: Tap) -> list[int]:
    """Members with a refine probability at or above the threshold; those without images never."""
    members = [i for i, ticket in enumerate(work.tickets) if ticket.layout.grids_hw]
    add_on, zoom = work.parts.add_on, work.options.zoom
    if add_on is None or zoom == "never" or not members:
        return []
    if add_on.gate is None or zoom == "always":
        return members
    store = work.state.gate
    feed = tap.feed(store.length(0))
    run = LayerRun(work.parts.backbone, store, feed.rotary, feed.valid_bn, right_padded=True)
    probabilities = gate_probabilities(add_on.gate, run, feed.hidden_bnh, feed.last_b).tolist()
    for member in members:
        work.tickets[member].gate_probability = probabilities[member]
    threshold = work.options.config.gate_threshold
    return [member for member in members if probabilities[member] >= threshold]


def find_regions(work: Work, tap: Tap, members: list[int]) -> list[int]:
    """Members whose map has a cell above the threshold."""
    assert work.parts.add_on is not None
    branch, state = work.parts.add_on.region, work.state
    known = state.region_keys
    feed = tap.feed(0 if known is None else state.length).select(members)
    backbone = work.parts.backbone
    run = LayerRun(backbone, state.region, feed.rotary, feed.valid_bn, right_padded=True)
    # With the cells' keys known, the map needs the last row alone.
    out_bnh = run(list(branch.layers), feed.hidden_bnh, last_b=feed.last_b if known else None)
    for place, member in enumerate(members):
        ticket = work.tickets[member]
        keys = known or _keys_of(work, branch, ticket, out_bnh[place], feed, place)
        if state.reused:
            state.region_keys = keys
        row = feed.last[place]
        last_h = out_bnh[place, min(row, out_bnh.shape[1] - 1)]
        cos, sin = feed.rotary
        at = (cos[place, None, row : row + 1], sin[place, None, row : row + 1])
        logits_c = region_logits(branch.final, last_h, at, keys)
        grids_hw = ticket.layout.grids_hw
        ticket.choice = choose_region(logits_c, keys, grids_hw, work.options.config)
        box = ticket.choice.box_cells_xyxy
        ticket.region = None if box is None else (ticket.choice.image_index, box)
    return [member for member in members if work.tickets[member].region is not None]


def given_regions(work: Work) -> list[int]:
    """Members that are told where to look: the cells that the box touches, of the first picture."""
    box_px = work.options.box_xyxy_px
    assert box_px is not None
    members = [i for i, ticket in enumerate(work.tickets) if ticket.layout.grids_hw]
    for member in members:
        ticket = work.tickets[member]
        grid_hw, size_px = ticket.layout.grids_hw[0], ticket.images[0].size
        ticket.region = (0, pixels_to_cells(box_px, grid_hw, size_px))
    return members


def _keys_of(
    work: Work, branch: RegionBranch, ticket: Ticket, out_nh: Tensor, feed: Feed, place: int
) -> RegionKeys:
    cells = (ticket.layout.input_ids == work.parts.ids.image).nonzero()[:, 0].to(out_nh.device)
    cos, sin = (table[place] for table in feed.rotary)
    return region_keys(
        branch.final,
        out_nh[cells],
        (cos[None, cells], sin[None, cells]),
        out_nh[0],
        (cos[None, :1], sin[None, :1]),
        work.options.config.sink_rule,
    )


def take_crop(work: Work, ticket: Ticket) -> bool:
    """Encode the region, or find it among those looked at before; False if it is too thin."""
    assert ticket.region is not None
    (index, box), parts = ticket.region, work.parts
    crop: Crop | KeptCrop | None = work.state.kept_crop(index, box) or encode_crop(
        parts.backbone,
        parts.pipeline,
        ticket.images[index],
        box,
        ticket.layout.grids_hw[index],
        work.options.config,
    )
    if crop is None:
        return False
    ticket.crop = crop
    align = work.options.config.align_roi_positions
    ticket.final = with_crop(ticket.layout, index, box, crop.grid_hw, parts.ids, align=align)
    return True
