"""What a file of result rows comes to."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from qzoom.eval.benchmarks.base import Benchmark
from qzoom.eval.bootstrap import clustered_mean
from qzoom.eval.rows import ResultRow
from qzoom.eval.samples import Scoring


def summarize(benchmark: Benchmark, rows: Sequence[ResultRow], scoring: Scoring) -> dict[str, Any]:
    """Scores as the harness adds them up, the mean score with its interval, tokens and times.

    The interval is a 95 % bootstrap over pictures, whose questions are kept together. Throughput
    is questions per second of everything but decoding the picture, one after the other.
    """
    scored = [row.scored() for row in rows]
    counted = [row for row in rows if row.score is not None]
    mean = None
    if counted:
        values = [row.score for row in counted if row.score is not None]
        mean = clustered_mean(values, [row.image_key for row in counted]).to_json()
    totals_s = [row.seconds["total"] for row in rows]
    return {
        "benchmark": benchmark.name,
        "scoring": scoring,
        "method": rows[0].method,
        "scores": {k: round(v, 4) for k, v in benchmark.summarize(scored, scoring).items()},
        "mean_score": mean,
        "samples": len(rows),
        "visual_tokens": _mean([row.source_tokens + row.roi_tokens for row in rows]),
        "source_tokens": _mean([row.source_tokens for row in rows]),
        "zoomed": _mean([float(row.zoomed) for row in rows]),
        "prefills": _mean([row.prefills for row in rows]),
        "samples_per_s": round(len(rows) / sum(totals_s), 3) if sum(totals_s) else None,
        "median_s": round(median(totals_s), 5),
        "settings": dict(rows[0].settings),
        "run": dict(rows[0].run),
    }


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)
