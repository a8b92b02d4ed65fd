"""Questions asked one after the other on a kept prefix equal the stored runs and fresh ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.parity.batches import NEW_TOKENS
from tests.parity.compare import Difference, details_differences, largest, misses
from tests.parity.goldens import GoldenCase, golden_cases
from torch import Tensor

import qzoom
from qzoom.zoom.prefix import PrefixState
from qzoom.zoom.prompt import lay_out
from qzoom.zoom.report import details_of
from qzoom.zoom.requests import start
from qzoom.zoom.tickets import Ticket, Work
from qzoom.zoom.timings import Timings

ORDERS = {"backward": [4, 3, 2, 1, 0], "again": [3, 2, 2, 0, 3, 2]}


class TokenSession:
    """What `ImageSession` does, for models without a tokenizer."""

    def __init__(self, model: qzoom.ZoomModel, case: GoldenCase) -> None:
        self.model = model
        self.case = case
        self.image = case.image()
        self.grid_hw = model.grid_of(self.image)
        length = self.lay_out(case.input_ids[0]).prefix_length
        self.state = PrefixState.empty(model.parts, length, reused=True)

    def lay_out(self, input_ids: Tensor) -> Any:
        return lay_out(input_ids, [self.grid_hw], self.model.parts.ids)

    def ask(self, input_ids: Tensor, **options: Any) -> Any:
        """Details of the answer to a prompt of shape `(1, n)` that begins with the prefix."""
        features = self.model.encode([self.image]) if self.state.tap is None else []
        ticket = Ticket(self.lay_out(input_ids[0]), [self.image], features)
        work = Work(self.model.parts, self.model.options(**options), [ticket], self.state)
        run = start(work, Timings(), keep_logits=True)
        run.finish()
        return details_of(run, input_ids, 0)


@pytest.mark.parametrize("order", ORDERS)
def test_stored_runs_in_any_order(
    golden_folder: Path, golden_model: qzoom.ZoomModel, order: str
) -> None:
    for case in list(golden_cases(golden_folder))[:2]:
        session = TokenSession(golden_model, case)
        for index in ORDERS[order]:
            run = case.runs[index]
            out = session.ask(case.input_ids, **run.options)
            assert not misses(details_differences(out, case, run)), f"{case.name} run {index}"


def test_other_questions(golden_folder: Path, golden_model: qzoom.ZoomModel) -> None:
    case = next(golden_cases(golden_folder))
    session = TokenSession(golden_model, case)
    # At this threshold the region is the whole map, so that its crop comes back with each question.
    low = case.runs[2].options | {"max_new_tokens": NEW_TOKENS}
    for number, change in enumerate([{}, {"zoom": "never"}, {}, {"zoom": "always"}, {}]):
        options = low | change
        prompt = other_question(case.input_ids, session.state.length, number)
        out = session.ask(prompt, **options)
        fresh = golden_model.generate(
            prompt, images=[session.image], return_details=True, **options
        )
        assert not misses(differences(out, fresh)), f"question {number}"
        assert out.zoomed == [change.get("zoom") != "never"]


def other_question(input_ids: Tensor, prefix_length: int, seed: int) -> Tensor:
    """The prompt with other words after the picture, more of them with each seed."""
    words = torch.randint(20, 150, (1, seed + 1), generator=torch.Generator().manual_seed(seed))
    closing = input_ids[:, prefix_length : prefix_length + 1]
    return torch.cat([input_ids[:, :prefix_length], closing, words, input_ids[:, -6:]], 1)


def differences(found: Any, fresh: Any) -> list[Difference]:
    """What answers of one prompt differ in."""
    names = {"gate": "gate_probability", "roi_logits": "roi_logits", "positions": "position_ids"}
    names |= {"boxes": "roi_box_cells", "logits": "logits", "tokens": "sequences"}
    pairs = {key: (getattr(found, name)[0], getattr(fresh, name)[0]) for key, name in names.items()}
    return [Difference(name, largest(*pair)) for name, pair in pairs.items()]
