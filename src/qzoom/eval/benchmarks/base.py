"""What a benchmark is to the runner."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qzoom.eval.samples import Sample, Scoring


@dataclass(frozen=True)
class Scored:
    """A sample (perhaps without its pictures), a model's reply and what it is worth.

    score: from 0 to 1; None where the benchmark's own rule leaves the sample out.
    """

    sample: Sample
    prediction: str
    score: float | None


@dataclass(frozen=True)
class Benchmark:
    """Files, prompts and metric of a benchmark.

    name: as on the command line; title: as in tables.
    max_new_tokens: of a reply.
    read: samples of the official files at a path (a folder or a file), in their order, one at a
        time; a DataError names the file and the row.
    prompt: question and instructions as a harness asks them.
    score: one reply, as a harness scores it.
    summarize: all replies; the headline number comes first, numbers are shares or points as the
        harness prints them.
    hub_ids: datasets of the hub whose cached snapshots `read` understands, tried in this order.
    settings: of a benchmark that is made, not read; rows made under others are refused.
    points: scorings whose headline number counts points or percent, and is no share.
    """

    name: str
    title: str
    max_new_tokens: int
    read: Callable[[Path], Iterator[Sample]]
    prompt: Callable[[Sample, Scoring], str]
    score: Callable[[Sample, str, Scoring], float | None]
    summarize: Callable[[Sequence[Scored], Scoring], dict[str, float]]
    hub_ids: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    points: frozenset[Scoring] = frozenset()


def mean_score(scored: Sequence[Scored]) -> float:
    """Mean of the scores there are; 0 of none."""
    values = [each.score for each in scored if each.score is not None]
    return sum(values) / len(values) if values else 0.0


def by_category(scored: Sequence[Scored]) -> dict[str, list[Scored]]:
    """Groups by category, in the order of their first sample."""
    groups: dict[str, list[Scored]] = {}
    for each in scored:
        groups.setdefault(each.sample.category, []).append(each)
    return groups
