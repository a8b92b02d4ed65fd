"""Outcomes of many requests in a few numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from qzoom.bench.load.client import Outcome

PERCENTILES = (50, 95, 99)


def summarised(outcomes: Sequence[Outcome], seconds: float) -> dict[str, Any]:
    """Counts, throughput and percentiles; times in seconds, of answered requests alone."""
    answered = [outcome for outcome in outcomes if outcome.answered]
    firsts = [outcome.first_s for outcome in answered if outcome.first_s is not None]
    tokens = sum(outcome.new_tokens for outcome in answered)
    failed = Counter(f"{o.status} {o.error}"[:120] for o in outcomes if not o.answered)
    return {
        "requests": len(outcomes),
        "answered": len(answered),
        "failed": dict(failed.most_common(8)),
        "zoomed": sum(outcome.zoomed is True for outcome in answered),
        "seconds": round(seconds, 3),
        "requests_per_s": round(len(answered) / seconds, 4),
        "tokens_per_s": round(tokens / seconds, 3),
        "first_token_s": _spread(firsts),
        "total_s": _spread([outcome.total_s for outcome in answered]),
    }


def table_of(report: dict[str, Any]) -> str:
    """The numbers for a terminal."""
    lines = [
        f"answered {report['answered']} of {report['requests']} in {report['seconds']:.1f} s "
        f"({report['zoomed']} zoomed)",
        f"throughput {report['requests_per_s']:.2f} requests/s, "
        f"{report['tokens_per_s']:.1f} tokens/s",
    ]
    for name, title in (("first_token_s", "first token"), ("total_s", "whole answer")):
        spread = "  ".join(f"{key} {_milliseconds(value)}" for key, value in report[name].items())
        lines.append(f"{title:<12}  {spread}")
    lines += [f"failed {count}: {reason}" for reason, count in report["failed"].items()]
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    """Percentiles by nearest rank; None where there are no values."""
    ordered = sorted(values)
    found: dict[str, float | None] = {}
    for percent in PERCENTILES:
        rank = max(0, math.ceil(percent / 100 * len(ordered)) - 1)
        found[f"p{percent}"] = round(ordered[rank], 5) if ordered else None
    return found


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1e3:.0f} ms"
