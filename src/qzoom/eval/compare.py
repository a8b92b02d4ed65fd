"""Two methods on the same samples: who is right more often, at what cost, and what gates did."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from qzoom.errors import DataError
from qzoom.eval.bootstrap import bootstrap_p, clustered_mean, clustered_ratio, sign_test_p
from qzoom.eval.rows import ResultRow

MUST_AGREE: Final = ("image_key", "prompt_sha256", "images_sha256")
TIMES_NEED: Final = ("hardware", "device", "threads", "dtype", "attention", "batch", "reuse")
"""What runs have to share for their times to be comparable."""


class Pair(NamedTuple):
    """Both rows of a sample."""

    a: ResultRow
    b: ResultRow


def compare(rows_a: Sequence[ResultRow], rows_b: Sequence[ResultRow]) -> dict[str, Any]:
    """Differences, A minus B, over the samples that both hold and score, with 95 % intervals.

    Intervals and p-values keep the questions of a picture together. Times are those of everything
    but decoding the picture.

    Args:
        rows_a, rows_b: each of one benchmark, as `rows_of_one_benchmark` reads them.

    Raises:
        DataError: when benchmark or scoring differ, when both were asked different things, naming
            the first sample, or when they share no sample.
    """
    for name in ("benchmark", "scoring"):
        one, other = getattr(rows_a[0], name), getattr(rows_b[0], name)
        if one != other:
            raise DataError(f"A has {name} {one!r} and B {other!r}; compare rows of the same")
    by_id_a, by_id_b = _by_id(rows_a, "A"), _by_id(rows_b, "B")
    both = [Pair(row, by_id_b[id]) for id, row in by_id_a.items() if id in by_id_b]
    for pair in both:
        _check_same_question(pair)
    pairs = [pair for pair in both if pair.a.score is not None and pair.b.score is not None]
    if not pairs:
        raise DataError(f"no scored sample is in A ({len(by_id_a)}) and in B ({len(by_id_b)})")
    return {
        "benchmark": pairs[0].a.benchmark,
        "scoring": pairs[0].a.scoring,
        "a": _side([pair.a for pair in pairs]),
        "b": _side([pair.b for pair in pairs]),
        "samples": len(pairs),
        "unscored": len(both) - len(pairs),
        "only_in_a": len(by_id_a) - len(both),
        "only_in_b": len(by_id_b) - len(both),
        **_differences(pairs),
        "gates": _gates(pairs),
        "runs_differ": _runs_differ(pairs[0]),
    }


def _by_id(rows: Sequence[ResultRow], side: str) -> dict[str, ResultRow]:
    found: dict[str, ResultRow] = {}
    for row in rows:
        if row.sample in found:
            raise DataError(f"{side} holds sample {row.sample} twice; give rows of one method")
        found[row.sample] = row
    return found


def _check_same_question(pair: Pair) -> None:
    for name in MUST_AGREE:
        one, other = getattr(pair.a, name), getattr(pair.b, name)
        if one != other:
            raise DataError(
                f"sample {pair.a.sample} has {name} {one} in A and {other} in B; "
                "both must have been asked the same"
            )


def _side(rows: Sequence[ResultRow]) -> dict[str, Any]:
    return {
        "method": rows[0].method,
        "settings": dict(rows[0].settings),
        "score": _mean([_score(row) for row in rows]),
        "visual_tokens": _mean([row.visual_tokens for row in rows]),
        "seconds": _mean([row.total_s for row in rows]),
        "zoomed": _mean([float(row.zoomed) for row in rows]),
    }


def _differences(pairs: Sequence[Pair]) -> dict[str, Any]:
    clusters = [pair.a.image_key for pair in pairs]
    scores = _each(pairs, _score)
    tokens = _each(pairs, lambda row: row.visual_tokens)
    times_s = [pair.a.total_s for pair in pairs], [pair.b.total_s for pair in pairs]
    return {
        "pictures": len(set(clusters)),
        "score_difference": clustered_mean(scores, clusters).to_json(),
        "wins": sum(value > 0 for value in scores),
        "losses": sum(value < 0 for value in scores),
        "ties": sum(value == 0 for value in scores),
        "p_bootstrap": bootstrap_p(scores, clusters),
        "p_sign_test": sign_test_p(scores, clusters),
        "visual_tokens_difference": clustered_mean(tokens, clusters).to_json(),
        "time_ratio": clustered_ratio(times_s[0], times_s[1], clusters).to_json()
        if all(times_s[1])
        else None,
    }


def _each(pairs: Sequence[Pair], value: Callable[[ResultRow], float]) -> list[float]:
    return [value(pair.a) - value(pair.b) for pair in pairs]


def _gates(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Samples by who zoomed, with both mean scores."""
    names = {
        (True, True): "both",
        (True, False): "only_a",
        (False, True): "only_b",
        (False, False): "neither",
    }
    groups: dict[str, list[Pair]] = {name: [] for name in names.values()}
    for pair in pairs:
        groups[names[pair.a.zoomed, pair.b.zoomed]].append(pair)
    return {
        name: {
            "samples": len(group),
            "score_a": _mean([_score(pair.a) for pair in group]),
            "score_b": _mean([_score(pair.b) for pair in group]),
        }
        for name, group in groups.items()
    }


def _runs_differ(pair: Pair) -> dict[str, list[Any]]:
    """Of what times depend on: what is not the same, in A and in B."""
    runs: tuple[Mapping[str, Any], ...] = (pair.a.run, pair.b.run)
    found = {name: [run.get(name) for run in runs] for name in TIMES_NEED}
    return {name: values for name, values in found.items() if values[0] != values[1]}


def _score(row: ResultRow) -> float:
    assert row.score is not None  # only scored pairs come here
    return row.score


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None
