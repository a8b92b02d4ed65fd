"""Time each exact saving against doing without it, side by side: savings.py [--out FILE]

Every pair gives the same result in float32; see benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable
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

from qzoom.bench.ours import ALWAYS, Ours, under
from qzoom.bench.prompts import Prompt
from qzoom.bench.shapes import SHAPES, Shape, Text, Vision
from qzoom.bench.subject import Subject, build
from qzoom.bench.timing import Comparison, in_turns
from qzoom.eval.machine import machine
from qzoom.images.crop import crop_px
from qzoom.images.decode import decode_image
from qzoom.zoom.cache import KVStore
from qzoom.zoom.layers import LayerRun, attention_mask
from qzoom.zoom.prompt import lay_out
from qzoom.zoom.rows import rows_of

WINDOWED = Shape(
    "qwen2_5_vl",
    Text(512, 4, 1536, 8, 2, 64, 1024),
    Vision(640, 16, 1712, 16, (3, 7, 11, 15)),
    split=2,
    max_cells=1024,
)
"""Half the tower of Qwen2.5-VL in width and depth, with a small decoder."""
Ways = dict[str, Callable[[], Any]]
"""The saving, and doing without it, by name."""


class Bench:
    """The models that are timed, made when first needed."""

    def __init__(self, options: argparse.Namespace) -> None:
        kind: dict[str, Any] = {"dtype": torch.float32, "device": options.device, "seed": 0}
        self.subject = build(SHAPES[options.size], attn="sdpa", **kind)
        self.windowed = build(WINDOWED, attn="sdpa", **kind)
        self.cells = options.cells


def vision_windows(bench: Bench) -> Ways:
    """Windows of one size in one call, against one call for each window."""
    return _towers(bench.windowed, bench.cells)


def vision_patches(bench: Bench) -> Ways:
    """Patches embedded by a matrix product, against the convolution."""
    return _towers(bench.subject, bench.cells)


def last_row(bench: Bench) -> Ways:
    """The last layer's output for the row that answers, against all rows."""
    subject = under(bench.subject, cells=bench.cells, roi_cells=64)
    backbone, rows, rotary = _rows(subject, 1)
    last_b = torch.tensor([rows.shape[1] - 1])

    def run(last: Tensor | None) -> Tensor:
        store = KVStore(len(backbone.layers))
        with torch.inference_mode():
            out = LayerRun(backbone, store, rotary)(backbone.layers, rows, last_b=last)
            return backbone.logits(out[:, -1])

    return {"last row": lambda: run(last_b), "all rows": lambda: run(None)}


def causal_kernel(bench: Bench) -> Ways:
    """Padded prompts under the kernel's causal rule, against a dense mask."""
    subject = under(bench.subject, cells=bench.cells, roi_cells=64)
    backbone, rows, rotary = _rows(subject, 2)
    valid_bs = torch.ones(rows.shape[:2], dtype=torch.bool)
    valid_bs[0, -8:] = False
    mask = attention_mask(backbone, rows.shape[1], rows.shape[1], valid_bs)

    def run(mask: Tensor | None) -> Tensor:
        hidden = rows
        with torch.inference_mode():
            for layer in backbone.layers[:6]:
                hidden = layer(hidden, position_embeddings=rotary, attention_mask=mask)
        return hidden[valid_bs]

    return {"causal rule": lambda: run(None), "dense mask": lambda: run(mask)}


def routed_rows(bench: Bench) -> Ways:
    """Each row of a batch of 8 routed alone (35 % zoom), against all zooming when one does."""
    ours = Ours(under(bench.subject, cells=bench.cells // 2, roi_cells=160), 4)
    prompts = [Prompt(ours.subject, number) for number in range(8)]
    threshold, _ = ours.threshold_for(0.35, prompts)
    return {
        "rows apart": lambda: ours.routed(threshold, *prompts),
        "all alike": lambda: ours.routed(ALWAYS, *prompts),
    }


def kept_crop(bench: Bench) -> Ways:
    """A box that comes back in a session, against encoding and running it again."""
    ours = Ours(under(bench.subject, cells=bench.cells, roi_cells=160), 1)
    session, prompt = ours.open(), Prompt(ours.subject)
    ours.ask(session, prompt, ALWAYS)
    return {
        "kept": lambda: ours.ask(session, prompt, ALWAYS).token_ids,
        "again": lambda: ours.later(session, prompt, ALWAYS).token_ids,
    }


def one_decode(bench: Bench) -> Ways:
    """A crop from the decoded picture, against decoding the file once more; 3840x2160 JPEG."""
    large = bench.subject.image.resize((3840, 2160))
    file = io.BytesIO()
    large.save(file, "JPEG", quality=92)
    data, box = file.getvalue(), (800, 600, 1500, 1000)
    decoded = decode_image(data)
    return {
        "from the picture": lambda: crop_px(decoded, box).tobytes(),
        "from the file": lambda: crop_px(decode_image(data), box).tobytes(),
    }


SAVINGS = (
    *(vision_windows, vision_patches, last_row, causal_kernel),
    *(routed_rows, kept_crop, one_decode),
)


def main(arguments: list[str] | None = None) -> int:
    """Run the pairs and print their ratios."""
    options = _parse(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    bench, found = Bench(options), []
    for saving in SAVINGS:
        if options.only and saving.__name__ not in options.only:
            continue
        ways = saving(bench)
        apart = _difference(*(way() for way in ways.values()))
        # All zooming gives other answers where the gate would not have zoomed.
        notes = {} if saving is routed_rows else {"largest_difference": apart}
        seconds = in_turns(ways, options.repeats, options.clock)
        comparison = Comparison(str(saving.__doc__), seconds, 1.0, notes)
        found.append(comparison.summary())
        print(f"{comparison.ratio:.3f} {comparison.name} {notes}", flush=True)
    settings = {"size": options.size, "cells": options.cells, "dtype": "float32", "batch": 1}
    settings |= {"attention": "sdpa", "clock": options.clock, **machine(options.device)}
    write_report(options.out, {"settings": settings, "comparisons": found})
    return 0


def _towers(subject: Subject, cells: int) -> Ways:
    model = subject.model.with_budget(max_cells=cells)
    pixels = model.pipeline([subject.image])
    plain: Any = subject.plain

    def ours() -> Tensor:
        with torch.inference_mode():
            backbone = model.parts.backbone
            return backbone.encode(pixels.pixel_values, pixels.image_grid_thw)[0].cells_ch

    def theirs() -> Tensor:
        with torch.inference_mode():
            found: Tensor = plain.model.visual(
                pixels.pixel_values, grid_thw=pixels.image_grid_thw, return_dict=True
            ).pooler_output
        return found

    return {"qzoom": ours, "transformers": theirs}


def _rows(subject: Subject, batch: int) -> tuple[Any, Tensor, tuple[Tensor, Tensor]]:
    """Backbone, input rows and rotary tables of a question, as often as asked for."""
    prompt, model = Prompt(subject), subject.model
    features = model.encode([subject.image])
    layout = lay_out(prompt.input_ids, [prompt.grid_hw], model.parts.ids)
    backbone = model.parts.backbone
    image_id = model.parts.ids.image
    rows = rows_of(backbone, [layout] * batch, [features] * batch, [0] * batch, image_id)
    return backbone, rows.hidden_bnh, backbone.rotary(rows.position_ids)


def _difference(first: Any, second: Any) -> float:
    """Largest difference of two results; those that are not tensors are equal or not."""
    if isinstance(first, Tensor) and first.is_floating_point():
        return float((first - second).abs().max())
    if isinstance(first, Tensor):
        first, second = first.tolist(), second.tolist()
    return 0.0 if first == second else float("inf")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = timing_parser(__doc__, repeats=3)
    parser.add_argument("--cells", type=int, default=1024, help="of the picture, at most")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="some savings alone")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
