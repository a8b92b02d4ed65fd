"""Time qzoom against plain transformers on random weights: speed.py [--size mid] [--out FILE]

Three ratios: a direct question (gate included) by plain `generate`, a zoomed question by two full
prefills, and the fifth question of a session by the first. See benchmarks/README.md.
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

from benchmarks.contests import Contest
from benchmarks.options import timing_parser, write_report

from qzoom.bench.shapes import SHAPES
from qzoom.bench.subject import Subject, build
from qzoom.bench.timing import Comparison
from qzoom.eval.machine import machine

CONTESTS = ("direct", "zoomed", "session")


def main(arguments: list[str] | None = None) -> int:
    """Run the comparisons; status 1 if `--check` is given and a target is missed."""
    options = _parse(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    subject = build(
        SHAPES[options.size],
        dtype=getattr(torch, options.dtype),
        device=options.device,
        attn=options.attn,
        seed=options.seed,
    )
    contest = Contest(subject, options.repeats, options.new_tokens, options.clock)
    settings = _settings(options, subject)
    print(", ".join(f"{name} {value}" for name, value in settings.items()), flush=True)
    comparisons = []
    for name in options.only or CONTESTS:
        comparisons.append(getattr(contest, name)())
        print(_line(comparisons[-1]), flush=True)
    report = {"settings": settings, "comparisons": [c.summary() for c in comparisons]}
    write_report(options.out, report)
    return 1 if options.check and not all(c.met for c in comparisons) else 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = timing_parser(__doc__)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--attn", choices=["sdpa", "eager"], default="sdpa")
    parser.add_argument("--new-tokens", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=CONTESTS, help="some comparisons alone")
    parser.add_argument("--check", action="store_true", help="fail where a target is missed")
    return parser.parse_args(arguments)


def _settings(options: argparse.Namespace, subject: Subject) -> dict[str, Any]:
    return {
        "size": options.size,
        "parameters": subject.parameters,
        "image_px": "x".join(map(str, subject.image.size)),
        "dtype": options.dtype,
        "attention": options.attn,
        "clock": options.clock,
        "batch": 1,
        "repeats": options.repeats,
        "seed": options.seed,
        **machine(options.device),
    }


def _line(comparison: Comparison) -> str:
    data = comparison.summary()
    times = ", ".join(
        f"{name} {times['median_s']:.3f} s (min {times['min_s']:.3f})"
        for name, times in data["seconds"].items()
    )
    verdict = "met" if comparison.met else "MISSED"
    notes = ", ".join(f"{name} {value}" for name, value in comparison.notes.items())
    return (
        f"{comparison.name}: {comparison.ratio:.3f} (target {comparison.target}, {verdict}); "
        + (f"{times}; {notes}")
    )


if __name__ == "__main__":
    sys.exit(main())
