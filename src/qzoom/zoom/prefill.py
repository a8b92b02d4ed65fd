"""From prompts to first-token logits: coarse pass, gate, region, crop, and the rest of the layers.

One code path serves a session (one row, its prefix kept in a `PrefixState`) and a batch (ragged
rows, a fresh state): rows are appended, then routed.
"""

from __future__ import annotations

from qzoom.steps import Steps, finish
from qzoom.zoom.lanes import direct_lane, zoomed_lane
from qzoom.zoom.routing import ask_gate, find_regions, given_regions, take_crop
from qzoom.zoom.tap import Tap, take_tap
from qzoom.zoom.tickets import Lane, Work
from qzoom.zoom.timings import Timings


def prefill(work: Work, timings: Timings) -> list[Lane]:
    """Route every prompt; returns the lanes to decode, of which one may hold all prompts.

    What was decided stands on the tickets afterwards.
    """
    return finish(prefill_steps(work, timings))


def prefill_steps(work: Work, timings: Timings) -> Steps[list[Lane]]:
    """The same, pausing between its stages and the trunk's layers so that others have a turn."""
    tap = yield from timings.over("prefill", take_tap(work))
    yield
    zooming = yield from _route(work, tap, timings)
    direct = [member for member in range(len(work.tickets)) if member not in set(zooming)]
    lanes = []
    if direct:
        lanes.append((yield from timings.over("prefill", direct_lane(work, tap, direct))))
    if zooming:
        if direct:
            yield
        lanes.append((yield from timings.over("zoom", zoomed_lane(work, tap, zooming))))
    return lanes


def _route(work: Work, tap: Tap, timings: Timings) -> Steps[list[int]]:
    if work.options.box_xyxy_px is not None:
        members = given_regions(work)
    else:
        with timings.part("gate"):
            members = ask_gate(work, tap)
        if not members:
            return []
        with timings.part("region"):
            members = find_regions(work, tap, members)
    zooming = []
    for member in members:
        yield
        with timings.part("crop"):
            if take_crop(work, work.tickets[member]):
                zooming.append(member)
    if zooming:
        yield
    return zooming
