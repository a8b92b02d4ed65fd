"""Stage 2: questions that a crop spoils, mined from answers without and with one (sec. III-D)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, Protocol, TypeVar, get_args

from qzoom.data.files import replacing
from qzoom.errors import ConfigError, LabelError
from qzoom.labels.answer_rows import AnswerIndex, AnswerRow
from qzoom.labels.batches import in_batches
from qzoom.labels.gate_samples import lowest
from qzoom.labels.jsonl import encode_row, settings_of, write_json
from qzoom.labels.judge import Decision, JudgeRequest
from qzoom.labels.judging import CountedJudge

Target = Literal["answer", "ground_truth"]
Kind = Literal["regression", "improvement", "miss"]

_PASSED_OVER: Final = ("unanswered", "not_zoomed", "same_text", "not_decided", "both")
_KIND_OF: Final[Mapping[tuple[bool, bool], Kind | None]] = MappingProxyType(
    {
        (True, False): "regression",
        (False, True): "improvement",
        (False, False): "miss",
        (True, True): None,
    }
)


class MinedRecord(Protocol):
    """A record of the pool as far as mining needs it."""

    @property
    def id(self) -> str:
        """Of the question."""
        ...

    @property
    def question(self) -> str:
        """Plain text."""
        ...

    @property
    def ground_truths(self) -> Sequence[str]:
        """Texts of which any counts as right."""
        ...


R = TypeVar("R", bound=MinedRecord)


@dataclass(frozen=True)
class MiningSettings:
    """What is mined.

    Args:
        target: What a row teaches: the "answer" that was right (the base model's for a
            regression), or the first "ground_truth".
        improvements, misses: Questions that the crop mends, and that both answers get wrong, mixed
            in for every regression, at most; 0 as published. A miss teaches the ground truth.
        seed: Chooses among those.
        batch_size: Requests handed to the judge at a time.

    Raises:
        ConfigError: If a setting is unknown or out of range.
    """

    target: Target = "answer"
    improvements: float = 0.0
    misses: float = 0.0
    seed: int = 0
    batch_size: int = 32

    def __post_init__(self) -> None:
        if self.target not in get_args(Target):
            raise ConfigError(f"target is {self.target!r}; use 'answer' or 'ground_truth'")
        for name in ("improvements", "misses"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"{name} is {value}; it must be 0 or more")
        if self.batch_size < 1:
            raise ConfigError(f"batch_size is {self.batch_size}; it must be at least 1")


def mine(
    records: Iterable[R],
    base: Path,
    roi: Path,
    judge: CountedJudge,
    out: Path,
    settings: MiningSettings | None = None,
) -> dict[str, Any]:
    """Write the questions that the base model answers and the crop spoils, in order of the pool.

    Only ids are held in memory. Both files appear whole at the end; a rerun after a kill asks a
    cached judge nothing twice.

    Args:
        records: The pool; gone through twice, so a one-way iterator will not do.
        base, roi: Answers without and with a crop.
        judge: Decides which of two answers are right.
        out: JSON lines of id, question, image, kind, target, both texts, the crop's box and, where
            `roi` has its settings beside it, the budget it was looked at under, `cells`; beside
            it, ".summary.json" with counts and settings.
        settings: What is mined.

    Returns:
        the summary.

    Raises:
        LabelError: If an input cannot be used, or the judge fails too often.
    """
    if isinstance(records, Iterator):
        raise LabelError("the pool is gone through twice; give a list or another re-iterable")
    settings = settings or MiningSettings()
    most_cells = (settings_of(roi) or {}).get("max_cells")
    budget = {} if most_cells is None else {"cells": most_cells}
    with AnswerIndex(base) as plain, AnswerIndex(roi) as closer:
        found = _judge_all(records, plain, closer, judge, settings)
        kinds = _chosen(found, settings)
        with replacing(out, resumable=True) as file:
            for record in records:
                if record.id in kinds:
                    pair = plain[record.id], closer[record.id]
                    row = _row(record, *pair, kinds[record.id], settings.target)
                    file.write(encode_row(row | budget))
    summary = {
        "settings": asdict(settings),
        "judge": judge.name,
        "base": str(base),
        "roi": str(roi),
        "counts": found.counts,
        "written": {kind: list(kinds.values()).count(kind) for kind in get_args(Kind)},
        "verdicts": judge.report.to_json(),
    }
    write_json(out.with_name(f"{out.stem}.summary.json"), summary)
    return summary


class _Found:
    """Ids of each kind, and counts of all records."""

    def __init__(self) -> None:
        self.ids: dict[Kind, list[str]] = {kind: [] for kind in get_args(Kind)}
        names = ("records", *get_args(Kind), *_PASSED_OVER)
        self.counts: dict[str, int] = dict.fromkeys(names, 0)

    def add(self, name: str, decision: Decision) -> None:
        verdict = decision.verdict
        if verdict is None:
            self.counts["not_decided"] += 1
            return
        kind = _KIND_OF[verdict.a_right, verdict.b_right]
        if kind is None:
            self.counts["both"] += 1
            return
        self.counts[kind] += 1
        self.ids[kind].append(name)


def _judge_all(
    records: Iterable[R],
    plain: AnswerIndex,
    closer: AnswerIndex,
    judge: CountedJudge,
    settings: MiningSettings,
) -> _Found:
    found = _Found()
    disputed = _disputed(records, plain, closer, found, same_too=settings.misses > 0)
    for batch in in_batches(disputed, settings.batch_size):
        decisions = judge.decide([request for _, request in batch])
        for (name, _), decision in zip(batch, decisions, strict=True):
            found.add(name, decision)
    return found


def _disputed(
    records: Iterable[R], plain: AnswerIndex, closer: AnswerIndex, found: _Found, *, same_too: bool
) -> Iterator[tuple[str, JudgeRequest]]:
    """Requests for the records whose two answers differ and came about differently.

    Args:
        same_too: Also where both say the same, which may be wrong.
    """
    seen: set[str] = set()
    for record in records:
        if record.id in seen:
            raise LabelError(f"two records of the pool have the id {record.id!r}; rename one")
        seen.add(record.id)
        found.counts["records"] += 1
        if record.id not in plain or record.id not in closer:
            found.counts["unanswered"] += 1
            continue
        asked = record.id, record.question
        base, roi = plain.answer_to(*asked), closer.answer_to(*asked)
        if not roi.zoomed:
            found.counts["not_zoomed"] += 1
        elif base.text == roi.text and not same_too:
            found.counts["same_text"] += 1
        else:
            truths = tuple(record.ground_truths)
            yield record.id, JudgeRequest(record.question, truths, base.text, roi.text)


def _chosen(found: _Found, settings: MiningSettings) -> dict[str, Kind]:
    """All regressions, and as many others as the ratios allow, each by its id's hash."""
    regressions = found.ids["regression"]
    kinds: dict[str, Kind] = dict.fromkeys(regressions, "regression")
    others: tuple[tuple[Kind, float], ...] = (
        ("improvement", settings.improvements),
        ("miss", settings.misses),
    )
    for kind, ratio in others:
        room = int(ratio * len(regressions))
        for name in lowest(found.ids[kind], room, f"{kind}s/{settings.seed}"):
            kinds[name] = kind
    return kinds


def _row(
    record: MinedRecord, base: AnswerRow, roi: AnswerRow, kind: Kind, target: Target
) -> dict[str, Any]:
    right = base if kind == "regression" else roi
    truth = target == "ground_truth" or kind == "miss"
    return {
        "id": record.id,
        "question": record.question,
        "image": base.image,
        "kind": kind,
        "target": record.ground_truths[0] if truth else right.text,
        "base": base.text,
        "roi": roi.text,
        "box_px_xyxy": roi.box_px_xyxy,
    }
