"""Result rows: one JSON object per answer, enough to score it again and to do it again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from qzoom.data import fields
from qzoom.errors import DataError
from qzoom.eval.benchmarks.base import Scored
from qzoom.eval.methods.base import Told
from qzoom.eval.samples import Sample
from qzoom.labels.jsonl import read_rows

SCHEMA = 1
_TEXTS: Final = (
    *("benchmark", "sample", "image_key", "method", "scoring"),
    *("prediction", "prompt_sha256"),
)
_COUNTS: Final = (
    *("source_tokens", "roi_tokens", "prompt_tokens", "new_tokens", "max_new_tokens"),
    *("prefills", "extra_new_tokens"),
)
_OBJECTS: Final = ("gold", "seconds", "settings", "run", "benchmark_settings")


@dataclass(frozen=True)
class ResultRow:
    """One answer.

    prompt_sha256, images_sha256: what was asked, and of what.
    gold: what a metric needs, as `Sample.gold` gives it.
    score: under `scoring`; None where the benchmark leaves the sample out.
    settings: of the method; run: versions, hardware, weights, type, attention kernel, batch, seed.
    seconds: by part; "decode" is that of the pictures, "total" everything else.
    benchmark_settings: of a benchmark that is made, not read.
    prompted_as: the scoring whose prompt was asked, where that is not `scoring`.
    """

    benchmark: str
    sample: str
    image_key: str
    method: str
    scoring: str
    score: float | None
    prediction: str
    prompt_sha256: str
    images_sha256: list[str]
    gold: Mapping[str, Any]
    zoomed: bool
    gate_probability: float | None
    boxes_px_xyxy: list[list[float]]
    source_tokens: int
    roi_tokens: int
    prompt_tokens: int
    new_tokens: int
    max_new_tokens: int
    prefills: int
    seconds: Mapping[str, float]
    settings: Mapping[str, Any]
    run: Mapping[str, Any]
    benchmark_settings: Mapping[str, Any] = field(default_factory=dict)
    prompted_as: str | None = None
    schema: int = SCHEMA
    extra_new_tokens: int = 0

    @property
    def total_s(self) -> float:
        """Seconds of everything but decoding the pictures."""
        return self.seconds["total"]

    @property
    def visual_tokens(self) -> int:
        """Cells of pictures and crops."""
        return self.source_tokens + self.roi_tokens

    def scored(self) -> Scored:
        """As a benchmark's metric takes it."""
        sample = Sample.from_gold(self.sample, self.image_key, self.gold)
        return Scored(sample, self.prediction, self.score)

    def to_json(self) -> dict[str, Any]:
        """As a line of a file."""
        return asdict(self)


def row_of(
    sample: Sample,
    told: Told,
    *,
    prompt: str,
    images_sha256: list[str],
    decode_s: float,
    **named: Any,
) -> ResultRow:
    """A row from what was asked and told; `named` are the fields that neither holds."""
    return ResultRow(
        sample=sample.id,
        image_key=sample.image_key,
        prediction=told.text,
        prompt_sha256=hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest(),
        images_sha256=images_sha256,
        gold=sample.gold(),
        zoomed=told.zoomed,
        gate_probability=told.gate_probability,
        boxes_px_xyxy=[list(box) for box in told.boxes_px_xyxy],
        source_tokens=told.source_tokens,
        roi_tokens=told.roi_tokens,
        prompt_tokens=told.prompt_tokens,
        new_tokens=told.new_tokens,
        prefills=told.prefills,
        extra_new_tokens=told.extra_new_tokens,
        seconds={"decode": decode_s, **told.seconds},
        **named,
    )


def read_results(path: Path) -> Iterator[ResultRow]:
    """Rows of a file, one at a time; a cut-off last line is left out.

    Raises:
        LabelError: when the file is missing or a line is no JSON object.
        DataError: when a row is of another kind or schema.
    """
    for _, found in read_rows(path):
        if found.get("schema") != SCHEMA:
            raise DataError(
                f"{path}: a row has schema {found.get('schema')!r}, this qzoom reads {SCHEMA}"
            )
        try:
            row = ResultRow(**found)
            _check(row)
        except (TypeError, DataError) as error:
            raise DataError(f"{path}: a row is no result of 'qzoom eval run': {error}") from None
        yield row


def _check(row: ResultRow) -> None:
    """Refuse what would make nonsense of a sum, or end it."""
    for name in _TEXTS:
        if not isinstance(value := getattr(row, name), str):
            raise DataError(f"{name} must be text, got {fields.shown(value)}")
    for name in _COUNTS:
        fields.whole_number(getattr(row, name), name)
    for name in _OBJECTS:
        fields.mapping(getattr(row, name), name)
    for name in ("images_sha256", "boxes_px_xyxy"):
        fields.items(getattr(row, name), name)
    for name in ("score", "gate_probability"):
        if (value := getattr(row, name)) is not None:
            fields.number(value, name)
    if not isinstance(row.zoomed, bool):
        raise DataError(f"zoomed must be true or false, got {fields.shown(row.zoomed)}")
    if fields.number(row.seconds.get("total"), "seconds.total") < 0:
        raise DataError(f"seconds.total is {row.seconds['total']}; it must be at least 0")


def rows_of_one_benchmark(path: Path) -> list[ResultRow]:
    """All rows of a file.

    Raises:
        DataError: when there is none, or they are of several benchmarks or scorings.
    """
    rows = list(read_results(path))
    if not rows:
        raise DataError(f"{path} holds no row; make some with 'qzoom eval run'")
    for name in ("benchmark", "scoring"):
        found = sorted({str(getattr(row, name)) for row in rows})
        if len(found) > 1:
            raise DataError(f"{path} holds rows with {name} {' and '.join(found)}; split the file")
    return rows
