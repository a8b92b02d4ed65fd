"""Judges in this process: a loaded model, or any function from prompts to texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from qzoom.errors import LabelError
from qzoom.labels.batches import in_batches
from qzoom.labels.judge import JudgePrompt, Reply
from qzoom.zoom.model import ZoomModel

Generate = Callable[[Sequence[JudgePrompt]], Sequence[str]]
"""Texts for a batch of prompts, in order."""


class LocalReplier:
    """Asks a function in batches."""

    def __init__(self, generate: Generate, name: str, *, batch_size: int = 8) -> None:
        """Make a replier.

        Args:
            generate: Texts for a batch of prompts.
            name: Model and settings; replies in a cache are kept under it.
            batch_size: Prompts per call.

        Raises:
            ConfigError: If the batch size is below 1.
        """
        in_batches((), batch_size)
        self._generate, self._name, self._batch_size = generate, name, batch_size

    @property
    def name(self) -> str:
        """As given."""
        return self._name

    def replies(self, prompts: Sequence[JudgePrompt]) -> Iterator[Reply]:
        """One reply for each prompt, in order.

        Raises:
            LabelError: If the function gives another number of texts than it got prompts.
        """
        for batch in in_batches(prompts, self._batch_size):
            texts = self._generate(batch)
            if len(texts) != len(batch):
                raise LabelError(
                    f"judge {self.name} gave {len(texts)} texts for {len(batch)} prompts"
                )
            yield from map(Reply, texts)


def model_replier(
    model: ZoomModel, *, max_new_tokens: int = 16, batch_size: int = 8
) -> LocalReplier:
    """A loaded model as a judge: greedy, text alone.

    A batch knows no system turn, so its text stands before the user's.
    """

    def generate(prompts: Sequence[JudgePrompt]) -> list[str]:
        pairs = [((), f"{prompt.system}\n\n{prompt.user}") for prompt in prompts]
        answers = model.ask_many(pairs, zoom="never", max_new_tokens=max_new_tokens)
        return [answer.text for answer in answers]

    name = f"{model.name} max_new_tokens={max_new_tokens}"
    return LocalReplier(generate, name, batch_size=batch_size)
