"""Methods against benchmarks, from files of result rows: the form of the paper's Tables II, III."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Final, Literal

from qzoom.errors import DataError
from qzoom.eval.benchmarks.base import Benchmark, mean_score
from qzoom.eval.bootstrap import clustered_mean
from qzoom.eval.rows import ResultRow

By = Literal["benchmark", "category"]
RUN_NAMES: Final = ("dtype", "attention", "weights")
"""Of what rows say about the run: what makes another method of it."""
SAME_AS_MEAN: Final = 1e-9


@dataclass(frozen=True)
class Cell:
    """A method's score on a benchmark.

    score: the headline number, a share or points, as the harness prints it.
    interval: 95 % over pictures, of a headline that is the mean score; None of any other.
    samples: of that column; ids tell apart methods that were asked different ones.
    """

    score: float
    interval: tuple[float, float] | None
    samples: frozenset[str]


@dataclass(frozen=True)
class Line:
    """A method, its scores by column, and what it cost over all of its samples.

    average: of the columns that are shares; None where one of them is missing.
    throughput: samples per second over the first line's, on the samples that both answered.
    """

    label: str
    cells: Mapping[str, Cell]
    average: float | None
    visual_tokens: float
    zoomed: float
    throughput: float | None


@dataclass(frozen=True)
class Table:
    """Lines and columns in the order of the rows.

    columns: title by key; points: keys of columns that are no shares.
    notes: what a reader has to know to compare lines.
    """

    columns: Mapping[str, str]
    points: frozenset[str]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]


@dataclass
class _Group:
    """Rows of one method with its settings, by column."""

    identity: dict[str, Any]
    columns: dict[str, list[ResultRow]] = field(default_factory=dict)

    def rows(self) -> list[ResultRow]:
        return [row for rows in self.columns.values() for row in rows]


def build_table(
    rows: Iterable[ResultRow], benchmark_of: Callable[[str], Benchmark], by: By = "benchmark"
) -> Table:
    """One line for each method with its settings; lines and columns as they first appear.

    Args:
        benchmark_of: the benchmark of a name, for its title and its way of adding up.
        by: a column for each benchmark, or for each category of its questions.

    Raises:
        DataError: when there is no row, one is there twice, or scorings are mixed.
    """
    groups: dict[str, _Group] = {}
    titles: dict[str, str] = {}
    for row in rows:
        identity = _identity(row)
        group = groups.setdefault(json.dumps(identity, sort_keys=True), _Group(identity))
        key, title = _column(row, benchmark_of, by)
        titles.setdefault(key, title)
        group.columns.setdefault(key, []).append(row)
    if not groups:
        raise DataError("the files hold no row; make some with 'qzoom eval run'")
    found = list(groups.values())
    _check(found)
    twice = [title for title in titles.values() if list(titles.values()).count(title) > 1]
    titles = {key: key if title in twice else title for key, title in titles.items()}
    cells = [
        {key: _cell(own, benchmark_of, by) for key, own in group.columns.items()} for group in found
    ]
    points = frozenset(
        key
        for group in found
        for key, own in group.columns.items()
        if by == "benchmark" and own[0].scoring in benchmark_of(own[0].benchmark).points
    )
    shares = [key for key in titles if key not in points]
    labels = _labels([group.identity for group in found])
    lines = tuple(
        _line(label, group, own, shares, found[0])
        for label, group, own in zip(labels, found, cells, strict=True)
    )
    return Table(titles, points, lines, tuple(_notes(found, lines, titles, points)))


def _identity(row: ResultRow) -> dict[str, Any]:
    run = {name: row.run[name] for name in RUN_NAMES if name in row.run}
    return {"method": row.method, "scoring": row.scoring, **row.settings, **run}


def _column(row: ResultRow, benchmark_of: Callable[[str], Benchmark], by: By) -> tuple[str, str]:
    title = benchmark_of(row.benchmark).title
    if by == "benchmark":
        return row.benchmark, title
    category = str(row.gold.get("category", ""))
    return f"{row.benchmark}/{category}", category or title


def _check(groups: Sequence[_Group]) -> None:
    scorings = list(dict.fromkeys(group.identity["scoring"] for group in groups))
    if len(scorings) > 1:
        raise DataError(
            f"rows are scored as {' and '.join(scorings)}; score them alike with 'qzoom eval score'"
        )
    for group in groups:
        seen: set[tuple[str, str]] = set()
        for row in group.rows():
            if (row.benchmark, row.sample) in seen:
                raise DataError(
                    f"sample {row.sample} of {row.benchmark} is there twice for {row.method} with "
                    "the same settings; give each file once"
                )
            seen.add((row.benchmark, row.sample))


def _cell(rows: Sequence[ResultRow], benchmark_of: Callable[[str], Benchmark], by: By) -> Cell:
    scored, counted = [row.scored() for row in rows], [row for row in rows if row.score is not None]
    mean = mean_score(scored)
    score = mean
    if by == "benchmark":
        summary = benchmark_of(rows[0].benchmark).summarize(scored, rows[0].scoring)  # type: ignore[arg-type]
        score = next(iter(summary.values()))
    interval = None
    if counted and abs(score - mean) < SAME_AS_MEAN:
        values = [row.score for row in counted if row.score is not None]
        estimate = clustered_mean(values, [row.image_key for row in counted])
        interval = estimate.low, estimate.high
    return Cell(score, interval, frozenset(row.sample for row in rows))


def _line(
    label: str, group: _Group, cells: Mapping[str, Cell], shares: Sequence[str], first: _Group
) -> Line:
    rows = group.rows()
    whole = shares and all(key in cells for key in shares)
    return Line(
        label,
        cells,
        fmean(cells[key].score for key in shares) if whole else None,
        fmean(row.visual_tokens for row in rows),
        fmean(float(row.zoomed) for row in rows),
        _relative_throughput(rows, first.rows()),
    )


def _relative_throughput(rows: Sequence[ResultRow], reference: Sequence[ResultRow]) -> float | None:
    """Seconds of the reference over those of the rows, on the samples that are in both."""
    seconds = {(row.benchmark, row.sample): row.total_s for row in reference}
    both = [row for row in rows if (row.benchmark, row.sample) in seconds]
    own_s = sum(row.total_s for row in both)
    return sum(seconds[row.benchmark, row.sample] for row in both) / own_s if own_s else None


def _labels(identities: Sequence[Mapping[str, Any]]) -> list[str]:
    """Method and budget, the model where there are several, and whatever else tells lines apart."""
    many_models = len({identity.get("model") for identity in identities}) > 1
    labels = []
    for own in identities:
        alike = [
            other
            for other in identities
            if all(other.get(name) == own.get(name) for name in ("method", "model", "max_cells"))
        ]
        differing = [
            f"{name} {own[name]:.4g}" if isinstance(own[name], float) else f"{name} {own[name]}"
            for name in own
            if len({json.dumps(other.get(name)) for other in alike}) > 1
        ]
        label = [f"{own['model']}:"] if many_models and "model" in own else []
        label += [own["method"], *([str(own["max_cells"])] if "max_cells" in own else [])]
        labels.append(" ".join(label) + "".join(f", {text}" for text in differing))
    return labels


def _notes(
    groups: Sequence[_Group],
    lines: Sequence[Line],
    titles: Mapping[str, str],
    points: frozenset[str],
) -> Iterable[str]:
    for key, title in titles.items():
        counts = {line.label: line.cells[key].samples for line in lines if key in line.cells}
        if len(set(counts.values())) > 1:
            said = ", ".join(f"{label} {len(ids)}" for label, ids in counts.items())
            yield f"{title} is not over the same samples: {said}"
    if points:
        named = ", ".join(titles[key] for key in titles if key in points)
        yield f"{named}: points, not in the average"
    hardware = list(dict.fromkeys(str(row.run.get("hardware")) for g in groups for row in g.rows()))
    if len(hardware) > 1:
        yield f"times are of different machines: {'; '.join(hardware)}"
