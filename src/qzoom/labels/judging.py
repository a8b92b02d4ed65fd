"""Asking a judge: cached, both ways round if wanted, counted, and stopped when it keeps failing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from qzoom.errors import ConfigError, LabelError
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
    """Counts of a run. The first nine are of requests; `asked` and `cached` are of prompts."""

    requests: int = 0
    both_right: int = 0
    only_a_right: int = 0
    only_b_right: int = 0
    both_wrong: int = 0
    undecided: int = 0
    malformed: int = 0
    timeout: int = 0
    error: int = 0
    asked: int = 0
    cached: int = 0

    @property
    def failed(self) -> int:
        """Requests that no usable reply came to."""
        return self.malformed + self.timeout + self.error

    def add(self, decision: Decision) -> None:
        """Count one request."""
        self.requests += 1
        name = _name_of(decision.verdict) if decision.verdict else decision.state
        setattr(self, name, getattr(self, name) + 1)

    def to_json(self) -> dict[str, Any]:
        """All counts by name."""
        return asdict(self)


@dataclass(frozen=True)
class FailureLimit:
    """When a run stops: more than `share` of all requests failed, counting at least `least`.

    Raises:
        ConfigError: If `share` is not from 0 to 1, or `least` is below 1.
    """

    share: float = 0.05
    least: int = 100

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ConfigError(f"the failure share is {self.share}; it must be from 0 to 1")
        if self.least < 1:
            raise ConfigError(f"the least count of the failure limit is {self.least}; give 1 or up")

    def exceeded(self, failed: int, total: int) -> bool:
        """Whether so many failures are too many."""
        return failed > self.share * max(total, self.least)


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
        self.asked = self.cached = 0

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
                known[prompt] = Reply(text)
        unknown = [prompt for prompt in prompts if prompt not in known]
        self.cached += len(known)
        self.asked += len(unknown)
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
        self._report = JudgeReport()

    @property
    def name(self) -> str:
        """The judge's own."""
        return self._judge.name

    @property
    def report(self) -> JudgeReport:
        """Counts so far."""
        if isinstance(self._judge, TextJudge):
            self._report.asked, self._report.cached = self._judge.asked, self._judge.cached
        return self._report

    def decide(self, requests: Sequence[JudgeRequest]) -> list[Decision]:
        """One decision for each request.

        Raises:
            LabelError: If more requests failed so far than the limit allows.
        """
        decisions = self._judge.decide(requests)
        for decision in decisions:
            self._report.add(decision)
        report = self._report
        if self._limit.exceeded(report.failed, report.requests):
            failed = [d for d in decisions if d.state in ("malformed", "timeout", "error")]
            last = f"; the last: {failed[-1].detail}" if failed else ""
            raise LabelError(
                f"judge {self.name} failed on {report.failed} of {report.requests} requests "
                f"({report.malformed} malformed, {report.timeout} timeouts, {report.error} errors); "
                f"at most {self._limit.share:.0%} may{last}"
            )
        return decisions


def _read(reply: Reply) -> Decision:
    if reply.text is None:
        return Decision("timeout" if reply.failure == "timeout" else "error", None, reply.detail)
    verdict = parse_verdict(reply.text)
    if verdict is None:
        return Decision("malformed", None, f"reply {reply.text[:80]!r}")
    return Decision("decided", verdict)


def _both(first: Decision, turned: Decision) -> Decision:
    """One decision from both ways round; a failure of either is a failure."""
    for decision in (first, turned):
        if decision.verdict is None:
            return decision
    assert turned.verdict is not None
    if first.verdict != turned.verdict.swapped():
        return Decision("undecided", None, "the order of the answers changed the verdict")
    return first


def _name_of(verdict: Verdict) -> str:
    if verdict.a_right:
        return "both_right" if verdict.b_right else "only_a_right"
    return "only_b_right" if verdict.b_right else "both_wrong"
