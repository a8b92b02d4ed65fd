"""Time a step of the region stage against one of the whole model: training_step.py [--out FILE]

Ratios of a step of `qzoom train region` to forward and backward through the whole plain model on
the same prompts, with and without the optimiser. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

if not __package__:
    # Run as a script: find the checkout's own packages.
    root = Path(__file__).resolve().parents[1]
    sys.path.insert(0, str(root))
    sys.path.insert(0, str(root / "src"))

from benchmarks.options import timing_parser, write_report
from benchmarks.training_steps import (
    Step,
    as_json,
    counting,
    plain_inputs,
    plain_step,
    region_stage,
    region_step,
)

from qzoom.bench.shapes import SHAPES
from qzoom.bench.subject import Subject, build
from qzoom.bench.timing import Comparison, in_turns
from qzoom.eval.machine import machine

TARGET = 0.7
PLAIN = {"whole model": False, "tower frozen": True}


def main(arguments: list[str] | None = None) -> int:
    """Run both types; status 1 if `--check` is given and a target is missed."""
    options = _parse(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    size = dataclasses.replace(SHAPES[options.size], image_wh_px=tuple(options.image_px))
    subject = build(
        size, dtype=torch.float32, device=options.device, attn="sdpa", seed=options.seed
    )
    settings = _settings(options, subject)
    print(json.dumps(settings, indent=2), flush=True)
    comparisons, ran = [], {}
    for kind in options.types:
        found, ran = _compare(subject, options, bf16=kind == "bf16")
        comparisons += found
        for comparison in found:
            data = comparison.summary()
            print(f"{data['name']}: {data['ratio']:.3f} {data['ratio_range']}", flush=True)
    report = {"settings": settings, "ran": ran, "comparisons": [c.summary() for c in comparisons]}
    write_report(options.out, report)
    return 1 if options.check and not all(c.met for c in comparisons) else 0


def _compare(
    subject: Subject, options: argparse.Namespace, *, bf16: bool
) -> tuple[list[Comparison], dict[str, dict[str, int]]]:
    """Ratios of one type, and what ran."""
    kind: dict[str, Any] = {"clock": options.clock, "bf16": bf16}
    with tempfile.TemporaryDirectory() as folder:
        stage = region_stage(subject, Path(folder), options.batch_size)
        batch = stage.make_batch(0)
    tokenizer: Any = subject.model.tokenizer
    inputs = plain_inputs(stage, batch, tokenizer.eos_token_id)
    inputs = {name: tensor.to(options.device) for name, tensor in inputs.items()}
    steps = {"region": region_step(stage, batch, **kind)} | {
        name: plain_step(subject.plain, inputs, frozen_tower=frozen, **kind)
        for name, frozen in PLAIN.items()
    }
    ran = {name: _count(subject, step, name) for name, step in steps.items()}
    in_turns(steps, options.repeats, options.clock)
    type_name, found = "bf16 autocast" if bf16 else "float32", []
    for name in PLAIN:
        for what in ("forward and backward", "whole step"):
            seconds = {
                each: _seconds(steps[each], what)[-options.repeats :] for each in ("region", name)
            }
            found.append(Comparison(f"{type_name}, {name}, {what}", seconds, TARGET))
    return found, ran


def _count(subject: Subject, step: Step, name: str) -> dict[str, int]:
    trunk = subject.model.parts.backbone.trunk if name == "region" else subject.plain
    step._choose()
    with counting(subject, trunk) as ran:
        step.gradients()
    step.drop_gradients()
    return as_json(ran)


def _seconds(step: Step, what: str) -> list[float]:
    if what == "forward and backward":
        return step.gradients_s
    return [a + b for a, b in zip(step.gradients_s, step.update_s, strict=True)]


def _settings(options: argparse.Namespace, subject: Subject) -> dict[str, Any]:
    return {
        "size": options.size,
        "parameters": subject.parameters,
        "image_px": "x".join(map(str, subject.image.size)),
        "batch": options.batch_size,
        "split_layer": subject.model.config.split_layer,
        "attention": "sdpa",
        "clock": options.clock,
        "repeats": options.repeats,
        "seed": options.seed,
        **machine(options.device),
    }


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = timing_parser(__doc__)
    parser.add_argument("--image-px", nargs=2, type=int, default=(512, 384), metavar=("W", "H"))
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--types", nargs="+", choices=["float32", "bf16"], default=["float32"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check", action="store_true", help="fail where a target is missed")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
