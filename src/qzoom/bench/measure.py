"""Contenders timed in turns under one budget: questions alone, in sessions, and in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from qzoom.bench.machine_peaks import counts_of
from qzoom.bench.ours import ALWAYS, NEVER, Ours, under
from qzoom.bench.plain import Plain
from qzoom.bench.prompts import Prompt
from qzoom.bench.subject import Subject
from qzoom.bench.timing import in_turns

Work = Callable[[], object]


@dataclass(frozen=True)
class BenchPlan:
    """What is measured.

    budgets: most cells of the picture; roi_cells: cells that a crop is resized to.
    new_tokens: of each answer; repeats: turns that count, after one that does not.
    """

    budgets: tuple[int, ...]
    roi_cells: tuple[int, ...]
    batches: tuple[int, ...]
    fire_rates: tuple[float, ...]
    questions: tuple[int, ...]
    new_tokens: int = 8
    repeats: int = 3
    clock: str = "wall"


@dataclass
class Measured:
    """Seconds of each contender by turn, under one budget.

    cells: of the picture; flops, peak_mib: of one call of some contenders.
    """

    budget: int
    cells: int
    prompt_tokens: int
    seconds: dict[str, list[float]]
    flops: dict[str, int] = field(default_factory=dict)
    peak_mib: dict[str, float | None] = field(default_factory=dict)


def measure_budget(subject: Subject, budget: int, plan: BenchPlan) -> Measured:
    """One question at a time: from scratch, later ones of a picture, and to the first token."""
    contenders, counted, first = _contenders(subject, budget, plan)
    flops, peaks, device = dict[str, int](), dict[str, float | None](), str(subject.model.device)
    # This is the turn that does not count.
    for name, work in contenders.items():
        if name in counted:
            flops[name], peaks[name] = counts_of(work, device)
        else:
            work()
    seconds = in_turns(contenders, plan.repeats, plan.clock, warm_up=0)
    rows, cols = first.grid_hw
    tokens = int(first.inputs["input_ids"].shape[1])
    return Measured(budget, rows * cols, tokens, seconds, flops, peaks)


def _contenders(
    subject: Subject, budget: int, plan: BenchPlan
) -> tuple[dict[str, Work], list[str], Prompt]:
    """Work by name, the names whose operations are counted, and the first prompt."""
    base = under(subject, cells=budget, roi_cells=plan.roi_cells[0])
    first, fresh = Prompt(base), _fresh(base)
    plain, ours = Plain(base, plan.new_tokens), Ours(base, plan.new_tokens)
    cache = plain.prefix_cache(first)
    session = ours.open()
    ours.ask(session, first, NEVER)
    box = ours.box(first)
    found: dict[str, Work] = {
        "plain": lambda: plain.direct(first),
        "ours direct": lambda: ours.direct(first),
        "plain first token": lambda: replace(plain, new_tokens=1).direct(first),
        "ours direct first token": lambda: replace(ours, new_tokens=1).direct(first),
        "plain later": lambda: plain.cached(cache, next(fresh)),
        "ours direct later": lambda: ours.later(session, next(fresh), NEVER),
    }
    counted = ["plain", "ours direct"]
    for roi_cells in plan.roi_cells:
        sized = under(subject, cells=budget, roi_cells=roi_cells)
        found |= _zooming(sized, box, plan, roi_cells)
        counted += [f"ours zoomed {roi_cells}", f"two prefills {roi_cells}"]
    return found, counted, first


def _zooming(subject: Subject, box: Any, plan: BenchPlan, roi_cells: int) -> dict[str, Work]:
    plain, ours = Plain(subject, plan.new_tokens), Ours(subject, plan.new_tokens)
    first, fresh = Prompt(subject), _fresh(subject)
    session = ours.open()
    ours.ask(session, first, NEVER)
    return {
        f"ours zoomed {roi_cells}": lambda: ours.zoomed(first),
        f"two prefills {roi_cells}": lambda: plain.zoomed(box, first),
        f"ours zoomed later {roi_cells}": lambda: ours.later(session, next(fresh), ALWAYS),
    }


def measure_batch(
    subject: Subject, budget: int, batch: int, fire_rate: float, roi_cells: int, plan: BenchPlan
) -> dict[str, Any]:
    """A batch in which some rows zoom, against plain transformers and two prefills."""
    sized = under(subject, cells=budget, roi_cells=roi_cells)
    plain, ours = Plain(sized, plan.new_tokens), Ours(sized, plan.new_tokens)
    prompts = [Prompt(sized, number) for number in range(batch)]
    threshold, firing = ours.threshold_for(fire_rate, prompts)
    box = ours.box(prompts[0])

    def two_prefills() -> None:
        # Which rows fire plays no part in the cost.
        if firing:
            plain.zoomed(box, *prompts[:firing])
        if firing < batch:
            plain.direct(*prompts[firing:])

    contenders: dict[str, Work] = {
        "plain": lambda: plain.direct(*prompts),
        "ours": lambda: ours.routed(threshold, *prompts),
        "two prefills": two_prefills,
    }
    seconds = in_turns(contenders, plan.repeats, plan.clock)
    named = {"budget": budget, "batch": batch, "roi_cells": roi_cells}
    return named | {"fire_rate": fire_rate, "firing": firing, "seconds": seconds}


def _fresh(subject: Subject) -> Iterator[Prompt]:
    """Questions that were not asked before."""
    number = 100
    while True:
        yield Prompt(subject, number)
        number += 1
