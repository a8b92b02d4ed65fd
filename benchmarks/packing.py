"""Time training on packed prompts against padded ones: packing.py [--out FILE]

Batches as the gate (one picture at growing budgets) and the region network (pictures of any shape)
meet them; forward and backward of a branch above the frozen trunk. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

if not __package__:
    # Run as a script: find the checkout's own packages.
    root = Path(__file__).resolve().parents[1]
    sys.path.insert(0, str(root))
    sys.path.insert(0, str(root / "src"))

from benchmarks.options import timing_parser, write_report
from torch import Tensor

from qzoom.backbones.base import VisionFeatures
from qzoom.bench.shapes import SHAPES
from qzoom.bench.subject import build
from qzoom.bench.timing import Comparison, in_turns
from qzoom.eval.machine import machine
from qzoom.train.tap_pass import TapStates, gate_logits
from qzoom.zoom.chat import dialogue_ids
from qzoom.zoom.parts import ModelParts
from qzoom.zoom.placement import Place, fitted, one_per_row
from qzoom.zoom.prompt import PromptLayout, lay_out
from qzoom.zoom.uncached import UncachedRun

QUESTION = "What is written on the sign at the left of the door?"
TRAJECTORY = (64, 128, 256, 576)
"""Cells of one picture at the budgets of consistency labels."""
GRIDS_HW = ((8, 8), (4, 24), (20, 24), (24, 10), (12, 16), (24, 24), (6, 9), (16, 12))
"""Rows and columns of pictures under one budget: documents, strips, small ones."""
TARGET = 1.0


def main(arguments: list[str] | None = None) -> int:
    """Run both batches; status 1 if `--check` is given and packing is slower."""
    options = _parse(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    subject = build(
        SHAPES[options.size], dtype=torch.float32, device=options.device, attn="sdpa", seed=0
    )
    settings = {"size": options.size, "parameters": subject.parameters, "attention": "sdpa"}
    settings |= {"dtype": "float32", "clock": options.clock, "repeats": options.repeats}
    settings |= machine(options.device)
    parts, tokenizer = subject.model.parts, subject.model.require_tokenizer()
    square = [(round(cells**0.5), round(cells**0.5)) for cells in TRAJECTORY]
    grids = {"gate, one picture at 4 budgets, twice": square * 2, "pictures of 8 shapes": GRIDS_HW}
    found = [_compare(name, parts, tokenizer, list(some), options) for name, some in grids.items()]
    for comparison in found:
        data = comparison.summary()
        print(f"{data['name']}: {data['ratio']:.3f} {data['ratio_range']} {comparison.notes}")
    report = {"settings": settings, "comparisons": [c.summary() for c in found]}
    write_report(options.out, report)
    return 1 if options.check and not all(c.met for c in found) else 0


def _compare(
    name: str,
    parts: ModelParts,
    tokenizer: Any,
    grids_hw: list[tuple[int, int]],
    options: argparse.Namespace,
) -> Comparison:
    prompts = [_prompt(parts, tokenizer, grid) for grid in grids_hw]
    layouts, features = [list(some) for some in zip(*prompts, strict=True)]
    asking = [layout.length - 1 for layout in layouts]
    lengths = [layout.length for layout in layouts]

    def step(places: list[Place]) -> Tensor:
        with torch.no_grad():
            run = UncachedRun.of(parts, layouts, features, places)
            tap = TapStates(run, run.trunk(parts.split))
        logits = gate_logits(tap, asking)
        logits.square().mean().backward()  # type: ignore[no-untyped-call]
        return logits.detach()

    ways = {"packed": fitted(lengths), "padded": one_per_row(lengths)}
    slots = {way: _slots(places) for way, places in ways.items()}
    outputs = [step(places) for places in ways.values()]
    apart = float((outputs[0] - outputs[1]).abs().max())
    contenders = {way: lambda places=places: step(places) for way, places in ways.items()}
    seconds = in_turns(contenders, options.repeats, options.clock)
    notes = {"real_slots": sum(lengths), "slots": slots, "largest_difference_of_logits": apart}
    return Comparison(name, seconds, TARGET, notes)


def _slots(places: list[Place]) -> int:
    return (1 + max(place.row for place in places)) * max(place.end for place in places)


def _prompt(
    parts: ModelParts, tokenizer: Any, grid_hw: tuple[int, int]
) -> tuple[PromptLayout, list[VisionFeatures]]:
    """A question about random features of a picture of so many cells."""
    ids, _ = dialogue_ids(tokenizer, [(QUESTION, "")], [grid_hw], parts.ids.image)
    layout = lay_out(ids, [grid_hw], parts.ids)
    backbone = parts.backbone
    shape = layout.source_cells, backbone.language.config.hidden_size
    kind: dict[str, Any] = {"dtype": backbone.dtype, "device": backbone.device}
    levels = tuple(torch.randn(shape, **kind) for _ in range(backbone.deepstack_levels))
    return layout, [VisionFeatures(torch.randn(shape, **kind), levels, grid_hw)]


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = timing_parser(__doc__)
    parser.add_argument("--check", action="store_true", help="fail where packing is slower")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
