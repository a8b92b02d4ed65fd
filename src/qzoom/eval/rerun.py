"""Stored answers done again: does a row come out as it was written?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from qzoom.errors import ConfigError, DataError
from qzoom.eval.benchmarks.base import Benchmark
from qzoom.eval.benchmarks.locate import data_of
from qzoom.eval.benchmarks.registry import benchmark_of
from qzoom.eval.machine import run_of
from qzoom.eval.methods.base import Method
from qzoom.eval.methods.registry import MethodOptions, method_of
from qzoom.eval.rescore import rescored
from qzoom.eval.rows import ResultRow
from qzoom.eval.runner import RunPlan, answer_sample, samples_of
from qzoom.eval.samples import check_scoring
from qzoom.zoom.model import ZoomModel

Load = Callable[[ResultRow], ZoomModel]
"""Loads the model that a row names."""

EXACT: Final = (
    *("prompt_sha256", "images_sha256", "prediction", "score", "zoomed", "boxes_px_xyxy"),
    *("source_tokens", "roi_tokens", "prompt_tokens", "new_tokens", "prefills"),
    "extra_new_tokens",
)
GATE_TOLERANCE: Final = {"float32": 1e-6}
OTHER_GATE_TOLERANCE: Final = 1e-2
"""Of half precision, whose sums depend on the kernel that a machine chooses."""
COMMON_SETTINGS: Final = (
    "model",
    "min_cells",
    "max_cells",
    "gate_threshold",
    "roi_threshold",
    "zoom",
)


@dataclass(frozen=True)
class Check:
    """One field, as stored and as it comes out now."""

    field: str
    stored: Any
    now: Any
    same: bool


@dataclass(frozen=True)
class Rerun:
    """A row that was done again."""

    sample: str
    checks: tuple[Check, ...]

    @property
    def same(self) -> bool:
        """Whether every field reproduces."""
        return all(check.same for check in self.checks)


def rerun(rows: Iterable[ResultRow], data: Path | None, load: Load) -> Iterator[Rerun]:
    """Answer the samples of rows again, each by its own method.

    Args:
        data: the benchmark's files; None looks in the hub's cache.

    Raises:
        ConfigError: when benchmark, model or method cannot be rebuilt from a row.
        DataError: when a sample is not in the benchmark.
    """
    # Rows of a file lie together; a model is loaded once for each stretch of the same.
    for _, same in groupby(rows, _made_with):
        group = list(same)
        benchmark = benchmark_of(group[0].benchmark, group[0].benchmark_settings)
        model = load(group[0])
        method = method_for(group[0], model)
        run = run_of(model, int(group[0].run.get("seed", 0)))
        yield from _rerun_group(group, benchmark, data_of(benchmark, data), method, run)


def method_for(row: ResultRow, model: ZoomModel) -> Method:
    """The row's method over a freshly loaded model.

    Raises:
        ConfigError: when the weights are others, or the method does not get the row's settings.
    """
    stored, loaded = row.run.get("weights"), run_of(model, 0)["weights"]
    if stored not in (None, loaded):
        raise ConfigError(
            f"{model.name} has weights {loaded}, the row was made with {stored}; "
            "name the right model with --model, and its branches with --adapter"
        )
    budget = {n: row.settings[n] for n in ("min_cells", "max_cells") if n in row.settings}
    model = model.with_budget(**budget) if budget else model
    if zoom := row.settings.get("zoom"):
        model = model.with_zoom(**zoom)
    try:
        usual = _built(row, model, {}).settings()
    except ConfigError:  # it has a setting without a default, such as a detector
        usual = {}
    # Only what is not a default is asked for: some settings follow from others.
    method = _built(row, model, _own_settings(row, usual))
    _check_settings(row, method)
    return method


def _built(row: ResultRow, model: ZoomModel, extra: Mapping[str, Any]) -> Method:
    settings = row.settings
    thresholds = settings.get("gate_threshold"), settings.get("roi_threshold")
    options = MethodOptions(*thresholds, int(row.run.get("seed", 0)), extra)
    return method_of(row.method, model, options)


def _own_settings(row: ResultRow, usual: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the row, those of its method alone, that differ from the usual ones."""
    made = json.loads(json.dumps(usual))
    return {
        name: value
        for name, value in row.settings.items()
        if name not in COMMON_SETTINGS and value != made.get(name)
    }


def _check_settings(row: ResultRow, method: Method) -> None:
    made = json.loads(json.dumps(method.settings()))
    for name in [*row.settings, *made]:
        # A folder may have moved; its weights were compared.
        if name != "model" and row.settings.get(name) != made.get(name):
            raise ConfigError(
                f"row {row.sample} was made with {name}={row.settings.get(name)!r}, the method "
                f"rebuilt from it has {made.get(name)!r}; this qzoom cannot do it again"
            )


def _made_with(row: ResultRow) -> str:
    made = (row.benchmark, row.benchmark_settings, row.method, row.settings, row.scoring)
    return json.dumps([*made, row.prompted_as, row.run], sort_keys=True)


def _rerun_group(
    rows: Sequence[ResultRow], benchmark: Benchmark, data: Path, method: Method, run: dict[str, Any]
) -> Iterator[Rerun]:
    wanted = {row.sample: row for row in rows}
    scoring = check_scoring(rows[0].scoring)
    plan = RunPlan(check_scoring(rows[0].prompted_as or rows[0].scoring))
    for sample in samples_of(benchmark, data):
        row = wanted.pop(sample.id, None)
        if row is None:
            continue
        now = rescored(answer_sample(benchmark, sample, method, plan, run), benchmark, scoring)
        yield Rerun(row.sample, tuple(_checks(row, now)))
        if not wanted:
            return
    raise DataError(f"{benchmark.name} at {data} has no sample {next(iter(wanted))!r}; see --data")


def _checks(row: ResultRow, now: ResultRow) -> Iterator[Check]:
    fresh = json.loads(json.dumps(now.to_json()))
    stored = row.to_json()
    for name in EXACT:
        yield Check(name, stored[name], fresh[name], stored[name] == fresh[name])
    gates = row.gate_probability, now.gate_probability
    yield Check("gate_probability", *gates, _near(*gates, str(row.run.get("dtype"))))


def _near(stored: float | None, now: float | None, dtype: str) -> bool:
    if stored is None or now is None:
        return stored is now
    return abs(stored - now) <= GATE_TOLERANCE.get(dtype, OTHER_GATE_TOLERANCE)
