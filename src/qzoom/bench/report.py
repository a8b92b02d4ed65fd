"""A benchmark from weights to report: one table, one JSON, one plot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from statistics import median
from typing import Any

import torch

from qzoom.bench.against import against_largest
from qzoom.bench.machine_peaks import peak_flops_per_s
from qzoom.bench.measure import BenchPlan, Measured, measure_batch, measure_budget
from qzoom.bench.mixes import batch_summary, mixes_of
from qzoom.bench.shapes import SHAPES, with_picture
from qzoom.bench.subject import Subject, build
from qzoom.errors import ConfigError
from qzoom.eval.machine import machine

Say = Callable[[str], None]


def run_bench(
    shape: str, plan: BenchPlan, *, dtype: str, device: str, attn: str, seed: int, say: Say
) -> dict[str, Any]:
    """Build a shape and measure everything that the plan asks for.

    Raises:
        ConfigError: for a shape that is not known, or a type that torch does not have.
    """
    if shape not in SHAPES:
        raise ConfigError(f"no shape is called {shape!r}; known: {', '.join(SHAPES)}")
    kind = getattr(torch, dtype, None)
    if not isinstance(kind, torch.dtype):
        raise ConfigError(f"dtype is {dtype!r}; use float32, bfloat16 or float16")
    sized = with_picture(SHAPES[shape], max(plan.budgets))
    subject = build(sized, dtype=kind, device=device, attn=attn, seed=seed)
    roof = peak_flops_per_s(device, kind)
    report: dict[str, Any] = {
        "settings": {
            "shape": shape,
            "parameters": subject.parameters,
            "dtype": dtype,
            "attention": attn,
            "seed": seed,
            **asdict(plan),
            **machine(device),
            "matmul_flops_per_s": round(roof),
        },
        "budgets": [],
        "mixes": [],
        "batches": [],
    }
    for budget in plan.budgets:
        measured = measure_budget(subject, budget, plan)
        report["budgets"].append(_budget(measured, roof))
        report["mixes"] += mixes_of(measured, plan)
        say(f"{budget} cells: done")
        report["batches"] += _batches(subject, budget, plan, say)
    report["against_largest"] = against_largest(report)
    return report


def _batches(subject: Subject, budget: int, plan: BenchPlan, say: Say) -> list[dict[str, Any]]:
    found = []
    for batch in plan.batches:
        for fire_rate in plan.fire_rates if batch > 1 else ():
            measured = measure_batch(subject, budget, batch, fire_rate, plan.roi_cells[0], plan)
            found.append(batch_summary(measured, plan.new_tokens))
            say(f"{budget} cells, batch {batch}: done")
    return found


def _budget(measured: Measured, roof: float) -> dict[str, Any]:
    medians = {name: median(runs) for name, runs in measured.seconds.items()}
    shares = {
        name: round(flops / medians[name] / roof, 3) for name, flops in measured.flops.items()
    }
    return {
        "cells_at_most": measured.budget,
        "cells": measured.cells,
        "prompt_tokens": measured.prompt_tokens,
        "median_s": {name: round(value, 5) for name, value in medians.items()},
        "runs_s": measured.seconds,
        "flops": measured.flops,
        "share_of_roof": shares,
        "peak_mib": {k: None if v is None else round(v, 1) for k, v in measured.peak_mib.items()},
    }
