"""The engine as a contender: first and later questions, direct and zoomed, alone and in batches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from torch import Tensor

from qzoom.bench.prompts import Prompt, batched
from qzoom.bench.subject import Subject
from qzoom.errors import ConfigError
from qzoom.geometry.boxes import Box
from qzoom.zoom.answer import GenerateOutput, ZoomAnswer
from qzoom.zoom.session import ImageSession

NEVER: Final = 1.1
ALWAYS: Final = 0.0
NO_END: Final[tuple[int, ...]] = ()


@dataclass
class Ours:
    """qzoom; the region is all that its sinks leave, the crop is resized to the cells asked for."""

    subject: Subject
    new_tokens: int

    def direct(self, *prompts: Prompt) -> Tensor:
        """Questions that the gate lets pass, gate included."""
        return self._generate(NEVER, *prompts)

    def zoomed(self, *prompts: Prompt) -> Tensor:
        """Questions with gate, region network and crop."""
        return self._generate(ALWAYS, *prompts)

    def routed(self, gate_threshold: float, *prompts: Prompt) -> Tensor:
        """A batch in which the gate decides."""
        return self._generate(gate_threshold, *prompts)

    def box(self, prompt: Prompt) -> Box:
        """Where the region network looks, in cells."""
        found = self._details(ALWAYS, prompt).roi_box_cells[0]
        if found is None:
            raise ConfigError("the region network of these random weights finds nothing")
        return Box(*found)

    def threshold_for(self, fire_rate: float, prompts: list[Prompt]) -> tuple[float, int]:
        """A threshold at which about this share of the prompts zooms, and how many do."""
        found = self._details(NEVER, *prompts).gate_probability
        gates = sorted((gate for gate in found if gate is not None), reverse=True)
        firing = min(len(gates), max(0, round(fire_rate * len(gates))))
        if firing == 0:
            return NEVER, 0
        if firing == len(gates):
            return ALWAYS, firing
        threshold = (gates[firing - 1] + gates[firing]) / 2
        # Half precision makes gates equal, which zoom together.
        return threshold, sum(gate >= threshold for gate in gates)

    def open(self) -> ImageSession:
        """A session on the picture, of which nothing is computed yet."""
        return self.subject.model.open(self.subject.image)

    def ask(self, session: ImageSession, prompt: Prompt, gate_threshold: float) -> ZoomAnswer:
        """A question of a session."""
        return session.ask(
            prompt.text,
            gate_threshold=gate_threshold,
            roi_threshold=0.0,
            max_new_tokens=self.new_tokens,
            eos_token_id=NO_END,
        )

    def later(self, session: ImageSession, prompt: Prompt, gate_threshold: float) -> ZoomAnswer:
        """A later question, which looks elsewhere than those before."""
        if session._state is not None:
            # These maps all give one box; a crop that is kept would cost nothing.
            session._state.crops.clear()
        return self.ask(session, prompt, gate_threshold)

    def _generate(self, gate_threshold: float, *prompts: Prompt) -> Tensor:
        sequences: Tensor = self._call(gate_threshold, *prompts)
        return sequences[:, -self.new_tokens :]

    def _details(self, gate_threshold: float, *prompts: Prompt) -> GenerateOutput:
        once = replace(self, new_tokens=1)
        found: GenerateOutput = once._call(gate_threshold, *prompts, return_details=True)
        return found

    def _call(self, gate_threshold: float, *prompts: Prompt, **options: Any) -> Any:
        return self.subject.model.generate(
            **batched([prompt.inputs for prompt in prompts]),
            images=[self.subject.image] * len(prompts),
            max_new_tokens=self.new_tokens,
            eos_token_id=NO_END,
            gate_threshold=gate_threshold,
            roi_threshold=0.0,
            **options,
        )


def under(subject: Subject, *, cells: int, roi_cells: int) -> Subject:
    """The same weights under a budget of cells for the picture, and another for its crops."""
    model = subject.model.with_zoom(min_crop_cells=roi_cells, max_crop_cells=roi_cells)
    return replace(subject, model=model.with_budget(max_cells=cells))
