"""Asking a judge: cached, both ways round if wanted, counted, and stopped when it keeps failing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from qzoom.errors import LabelError
from qzoom.labels.failures import FailureLimit
from qzoom.labels.judge import (
    Decision,
    Judge,
    JudgePrompt,
    JudgeRequest,
    Replier,
    Reply,
    Verdict,
    judge_prompt,
    parse_verdict,
)
from qzoom.labels.judge_cache import JudgeCache


@dataclass
class JudgeReport:
    """Counts of requests: of all, by what came of them, and of those that needed no asking."""

    requests: int = 0
    both_right: int = 0
    only_a_right: int = 0
    only_b_right: int = 0
    both_wrong: int = 0
    undecided: int = 0
    malformed: int = 0
    timeout: int = 0
    error: int = 0
    cached: int = 0

    @property
    def failed(self) -> int:
        """Requests that no usable reply came to."""
        return self.malformed + self.timeout + self.error

    def add(self, decision: Decision) -> None:
        """Count one request."""
        self.requests += 1
        self.cached += decision.cached
        name = _name_of(decision.verdict) if decision.verdict else decision.state
        setattr(self, name, getattr(self, name) + 1)

    def to_json(self) -> dict[str, Any]:
        """All counts by name."""
        return asdict(self)


class TextJudge:
    """A judge that reads and writes text."""

    def __init__(
        self, replier: Replier, cache: JudgeCache | None = None, *, swap: bool = False
    ) -> None:
        """Make a judge.

        Args:
            replier: What answers the prompts.
            cache: Replies already known, and where new ones go.
            swap: Ask with A and B changed over as well, and decide only where both agree.
        """
        self._replier, self._cache, self._swap = replier, cache, swap

    @property
    def name(self) -> str:
        """The replier's name, and whether positions are swapped."""
        return f"{self._replier.name} both ways" if self._swap else self._replier.name

    def decide(self, requests: Sequence[JudgeRequest]) -> list[Decision]:
        """One decision for each request; equal prompts are asked once."""
        prompts = [judge_prompt(request) for request in requests]
        turned = [judge_prompt(request.swapped()) for request in requests] if self._swap else []
        replies = self._replies(list(dict.fromkeys([*prompts, *turned])))
        decisions = [_read(replies[prompt]) for prompt in prompts]
        if not self._swap:
            return decisions
        others = [_read(replies[prompt]) for prompt in turned]
        return [_both(*pair) for pair in zip(decisions, others, strict=True)]

    def _replies(self, prompts: Sequence[JudgePrompt]) -> dict[JudgePrompt, Reply]:
        known: dict[JudgePrompt, Reply] = {}
        for prompt in prompts:
            text = self._cached_text(prompt)
            if text is not None:
                known[prompt] = Reply(text, cached=True)
        unknown = [prompt for prompt in prompts if prompt not in known]
        for prompt, reply in zip(unknown, self._replier.replies(unknown), strict=True):
            known[prompt] = reply
            if self._cache is not None and reply.text is not None:
                self._cache.put(prompt, self._replier.name, reply.text)
        return known

    def _cached_text(self, prompt: JudgePrompt) -> str | None:
        return None if self._cache is None else self._cache.get(prompt, self._replier.name)


class CountedJudge:
    """A judge whose decisions are counted, and which stops when too many come to nothing."""

    def __init__(self, judge: Judge, limit: FailureLimit | None = None) -> None:
        """Count the decisions of a judge under a limit of failures."""
        self._judge, self._limit = judge, limit or FailureLimit()
        self.report = JudgeReport()

    @property
    def name(self) -> str:
        """The judge's own."""
        return self._judge.name

    def decide(self, requests: Sequence[JudgeRequest]) -> list[Decision]:
        """One decision for each request.

        Raises:
            LabelError: If more requests failed so far than the limit allows.
        """
        decisions = self._judge.decide(requests)
        for decision in decisions:
            self.report.add(decision)
        if self._limit.exceeded(self.report.failed, self.report.requests):
            raise LabelError(self._complaint(decisions))
        return decisions

    def _complaint(self, decisions: Sequence[Decision]) -> str:
        report, share = self.report, self._limit.share
        failed = [d.detail for d in decisions if d.state in ("malformed", "timeout", "error")]
        return (
            f"judge {self.name} failed on {report.failed} of {report.requests} requests, over the "
            f"limit of {share:.0%} ({report.malformed} malformed, {report.timeout} timeouts, "
            f"{report.error} errors); the last: {failed[-1] if failed else 'none of this batch'}"
        )


def _read(reply: Reply) -> Decision:
    if reply.text is None:
        return Decision(reply.failure, None, reply.detail)
    verdict = parse_verdict(reply.text)
    if verdict is None:
        return Decision("malformed", None, f"reply {reply.text[:80]!r}", reply.cached)
    return Decision("decided", verdict, "", reply.cached)


def _both(first: Decision, turned: Decision) -> Decision:
    """One decision from both ways round; a failure of either is a failure."""
    cached = first.cached and turned.cached
    if first.verdict is None or turned.verdict is None:
        return replace(first if first.verdict is None else turned, cached=cached)
    if first.verdict != turned.verdict.swapped():
        return Decision("undecided", None, "the order changed the verdict", cached)
    return replace(first, cached=cached)


def _name_of(verdict: Verdict) -> str:
    if verdict.a_right:
        return "both_right" if verdict.b_right else "only_a_right"
    return "only_b_right" if verdict.b_right else "both_wrong"
