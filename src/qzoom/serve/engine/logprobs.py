"""Log probabilities of an answer's tokens, taken as they are chosen."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class TokenLogprob:
    """A token, its natural log probability under the model, and the likeliest ones at its place."""

    token_id: int
    logprob: float
    top: list[tuple[int, float]]


class LogprobRecorder:
    """Collects the tokens of one answer until somebody takes them."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._found: list[TokenLogprob] = []

    def __call__(self, logits_v: Tensor, token: int) -> None:
        """Add a token that was chosen by logits of shape `(vocabulary,)`."""
        logprobs_v = logits_v.float().log_softmax(-1)
        best = logprobs_v.topk(self._top)
        top = list(zip(best.indices.tolist(), best.values.tolist(), strict=True))
        self._found.append(TokenLogprob(token, float(logprobs_v[token]), top))

    def take(self) -> list[TokenLogprob]:
        """What came since the last time."""
        found, self._found = self._found, []
        return found
