"""A judge without a language model: the strict matcher, for data whose answers are exact."""

from __future__ import annotations

from collections.abc import Sequence

from qzoom.labels.judge import Decision, JudgeRequest, Verdict
from qzoom.labels.matching import Match, matches_any, strict_match


class MatchJudge:
    """Marks answers with a matcher; always decides."""

    def __init__(self, match: Match = strict_match, name: str = "strict match") -> None:
        """Judge by `match(prediction, ground_truth)`; any ground truth will do."""
        self._match, self._name = match, name

    @property
    def name(self) -> str:
        """The matcher's name."""
        return self._name

    def decide(self, requests: Sequence[JudgeRequest]) -> list[Decision]:
        """One decision for each request."""
        return [Decision("decided", self._verdict(request)) for request in requests]

    def _verdict(self, request: JudgeRequest) -> Verdict:
        truths = request.ground_truths
        a_right = matches_any(request.answer_a, truths, self._match)
        return Verdict(a_right, matches_any(request.answer_b, truths, self._match))
