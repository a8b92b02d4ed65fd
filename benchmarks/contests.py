"""The three comparisons: a direct question, a zoomed one, and a later one of a session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from qzoom.bench.ours import ALWAYS, NEVER, NO_END
from qzoom.bench.prompts import QUESTIONS, Prompt
from qzoom.bench.subject import Subject
from qzoom.bench.timing import Comparison, in_turns, seconds_of
from qzoom.geometry.boxes import Box
from qzoom.geometry.heatmaps import foreground_box, gaussian_blur3

BOX_SHARE = 1 / 3
SESSION_TOKENS = 4


@dataclass(frozen=True)
class Contest:
    """One model, one picture, one prompt as a processor would make it."""

    subject: Subject
    repeats: int
    new_tokens: int
    clock: str

    def direct(self) -> Comparison:
        """A question that the gate answers at once, against plain transformers `generate`."""
        outputs: dict[str, Tensor] = {}

        def ours() -> None:
            outputs["ours"] = self._generate(gate_threshold=NEVER)

        def plain() -> None:
            outputs["plain"] = self._plain(**self.inputs)

        seconds = in_turns({"qzoom": ours, "transformers": plain}, self.repeats, self.clock)
        notes = {"prompt_tokens": self.inputs["input_ids"].shape[1]} | self._agreement(outputs)
        return Comparison("direct question", seconds, 1.05, notes)

    def zoomed(self) -> Comparison:
        """A question with one crop, against two full prefills of plain transformers."""
        threshold, box = self._region
        outputs: dict[str, Tensor] = {}

        def ours() -> None:
            outputs["ours"] = self._generate(gate_threshold=ALWAYS, roi_threshold=threshold)

        def naive() -> None:
            self.subject.plain(**self.inputs, logits_to_keep=1, use_cache=True)
            outputs["plain"] = self._plain(**self.prompt.with_crop(box))

        with torch.inference_mode():
            seconds = in_turns({"qzoom": ours, "two prefills": naive}, self.repeats, self.clock)
        rows, cols = self.prompt.grid_hw
        notes = {
            "prompt_tokens": self.prompt.with_crop(box)["input_ids"].shape[1],
            "box_share": round(box.width * box.height / (rows * cols), 3),
        }
        return Comparison("zoomed question", seconds, 0.8, notes | self._agreement(outputs))

    def session(self) -> Comparison:
        """The fifth direct question about a picture against the first."""
        seconds: dict[str, list[float]] = {"fifth question": [], "first question": []}
        for turn in range(-1, self.repeats):
            times = self._five_questions()
            if turn >= 0:
                seconds["fifth question"].append(times[4])
                seconds["first question"].append(times[0])
        return Comparison("later question", seconds, 0.35, {"new_tokens": SESSION_TOKENS})

    @cached_property
    def prompt(self) -> Prompt:
        """The first question."""
        return Prompt(self.subject)

    @property
    def inputs(self) -> dict[str, Any]:
        """Keyword arguments of transformers' `generate`."""
        return self.prompt.inputs

    def _generate(self, **options: Any) -> Any:
        return self.subject.model.generate(
            **self.inputs,
            images=[self.subject.image],
            max_new_tokens=self.new_tokens,
            eos_token_id=NO_END,
            **options,
        )

    def _plain(self, **inputs: Any) -> Tensor:
        plain: Any = self.subject.plain
        sequences: Tensor = plain.generate(
            **inputs, max_new_tokens=self.new_tokens, do_sample=False
        )
        return sequences

    def _five_questions(self) -> list[float]:
        session = self.subject.model.open(self.subject.image)

        def ask(question: str) -> Callable[[], object]:
            return lambda: session.ask(
                question,
                max_new_tokens=SESSION_TOKENS,
                gate_threshold=NEVER,
                eos_token_id=NO_END,
            )

        return [seconds_of(ask(question), self.clock) for question in QUESTIONS]

    @cached_property
    def _region(self) -> tuple[float, Box]:
        """The region threshold whose box is closest to a third of the picture, and that box."""
        details = self._generate(gate_threshold=ALWAYS, roi_threshold=2.0, return_details=True)
        keep, logits = details.sink_keep[0], details.roi_logits[0]
        probabilities = logits.sigmoid() * (1.0 if keep is None else keep)
        heat = gaussian_blur3(probabilities, self.subject.model.config.blur_sigma)
        levels = heat.flatten().sort().values
        between = ((levels[1:] + levels[:-1]) / 2).tolist()
        boxes = [(level, foreground_box(heat, level)) for level in between]
        found = [(level, box) for level, box in boxes if box is not None]
        return min(found, key=lambda pair: self._off_target(pair[1]))

    def _off_target(self, box: Box) -> float:
        rows, cols = self.prompt.grid_hw
        return abs(box.width * box.height / (rows * cols) - BOX_SHARE)

    def _agreement(self, outputs: dict[str, Tensor]) -> dict[str, Any]:
        """How many first tokens both contenders generated alike."""
        ours, plain = (out[0, -self.new_tokens :].tolist() for out in outputs.values())
        same = [a == b for a, b in zip(ours, plain, strict=True)]
        agreed = same.index(False) if False in same else len(same)
        return {"new_tokens": self.new_tokens, "tokens_alike": agreed}
