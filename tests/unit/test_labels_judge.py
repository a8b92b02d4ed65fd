"""Judges: prompt, strict reading, cache, both ways round, counts and limits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qzoom.errors import ConfigError, LabelError
from qzoom.labels.failures import FailureLimit
from qzoom.labels.judge import (
    Decision,
    JudgePrompt,
    JudgeRequest,
    Reply,
    Verdict,
    judge_prompt,
    parse_verdict,
)
from qzoom.labels.judge_cache import JudgeCache, prompt_key
from qzoom.labels.judge_local import LocalReplier
from qzoom.labels.judge_match import MatchJudge
from qzoom.labels.judging import CountedJudge, TextJudge

REQUEST = JudgeRequest("how much?", ("40", "forty"), "it is 40", "14")


def requests(count: int) -> list[JudgeRequest]:
    return [
        JudgeRequest(f"q{i}?", ("owl",), "owl" if i % 2 else "cat", f"b{i}") for i in range(count)
    ]


class Scripted:
    """Replies with a function of the prompt and remembers what it was asked."""

    name = "scripted"

    def __init__(self, reply) -> None:
        self.reply, self.prompts = reply, []

    def replies(self, prompts: Sequence[JudgePrompt]) -> Iterator[Reply]:
        for prompt in prompts:
            self.prompts.append(prompt)
            yield self.reply(prompt)


def fair(prompt: JudgePrompt) -> Reply:
    """Right is whatever says "owl"."""
    data = prompt.user.splitlines()
    right = {name: f'{name}: "owl"' in data for name in "AB"}
    return Reply("\n".join(f"{name}: {'Yes' if right[name] else 'No'}" for name in "AB"))


def always(text: str | None, **failure: str):
    return lambda prompt: Reply(text, **failure)  # type: ignore[arg-type]


def test_the_prompt_holds_everything_once_and_quoted() -> None:
    prompt = judge_prompt(REQUEST)
    for line in ('question: "how much?"', 'accepted: "40" or "forty"', 'A: "it is 40"', 'B: "14"'):
        assert prompt.user.splitlines().count(line) == 1
    for criterion in ("Containment", "Synonyms", "Formatting", "Contradiction"):
        assert criterion in prompt.user
    assert prompt.user.endswith("A: Yes or No\nB: Yes or No")
    assert "which one comes first" in prompt.system


@settings(max_examples=40)
@given(st.text(st.characters()), st.text(st.characters()), st.text())
def test_no_text_can_pass_for_a_line_of_the_task(question: str, a: str, b: str) -> None:
    lines = len(judge_prompt(REQUEST).user.splitlines())
    user = judge_prompt(JudgeRequest(question, (a,), a, b)).user
    assert len(user.splitlines()) == lines
    said = next(line for line in user.splitlines() if line.startswith("A: "))
    assert json.loads(said[3:]) == a
    user.encode()


def test_lone_surrogates_and_odd_line_ends_are_escaped() -> None:
    user = judge_prompt(JudgeRequest("\ud800\u2028\x85", ("\u00fc",), "", "")).user
    assert '"\\ud800\\u2028\\u0085"' in user
    assert '"\u00fc"' in user


def test_braces_are_plain_text() -> None:
    assert '"{data} {0}"' in judge_prompt(JudgeRequest("{data} {0}", ("{",), "}", "")).user


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("A: Yes\nB: No", Verdict(True, False)),
        ("a:yes\r\nb : NO", Verdict(True, False)),
        ("\n A: no \n  B: yes\n\n", Verdict(False, True)),
        ("**A:** Yes.\n**B: Yes**", Verdict(True, True)),
        ("**A**: **No.**\n**B**: No...", Verdict(False, False)),
    ],
)
def test_replies_that_are_read(reply: str, verdict: Verdict) -> None:
    assert parse_verdict(reply) == verdict


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "A: Yes",
        "A: Yes\nB: No\nBecause B is wrong.",
        "Sure!\nA: Yes\nB: No",
        "A: Yes\n\nB: No",
        "A: Yes B: No",
        "A: Yes\nA: No",
        "B: No\nA: Yes",
        "A: Yes\nB: Maybe",
        "A: Yes/No\nB: Yes/No",
        "A: [Yes]\nB: [No]",
        "A: Yes, it is\nB: No",
        "A = Yes\nB = No",
        "**A: Yes\nB: No",
        "*A*: Yes\n*B*: No",
        "A: Ye\u017f\nB: No",
        "A: Yes\u2028B: No",
        "Model A: Yes\nModel B: No",
        "<think>\n</think>\nA: Yes\nB: No",
    ],
)
def test_replies_that_are_not_guessed_at(reply: str) -> None:
    assert parse_verdict(reply) is None


@given(st.text())
def test_any_text_is_read_or_refused(reply: str) -> None:
    assert parse_verdict(reply) is None or len(reply.strip().split("\n")) == 2


def test_a_request_needs_a_ground_truth() -> None:
    with pytest.raises(LabelError, match="no ground truth to judge 'q' by"):
        JudgeRequest("q", (), "a", "b")
    assert REQUEST.swapped().swapped() == REQUEST


def test_decisions_of_a_text_judge() -> None:
    judge = TextJudge(Scripted(fair))
    decisions = judge.decide(requests(4))
    assert [d.verdict for d in decisions] == [Verdict(i % 2 == 1, False) for i in range(4)]
    assert TextJudge(Scripted(always("no idea"))).decide([REQUEST])[0].state == "malformed"
    timeout = Scripted(always(None, failure="timeout", detail="slow"))
    assert TextJudge(timeout).decide([REQUEST]) == [Decision("timeout", None, "slow")]


def test_equal_prompts_are_asked_once() -> None:
    replier = Scripted(fair)
    assert len(TextJudge(replier).decide([REQUEST, REQUEST])) == 2
    assert len(replier.prompts) == 1


def test_both_ways_round() -> None:
    replier = Scripted(fair)
    judge = TextJudge(replier, swap=True)
    assert judge.decide(requests(2))[1].verdict == Verdict(True, False)
    assert len(replier.prompts) == 4
    assert judge.name == "scripted both ways"
    # One that always likes the first answer better.
    (partial,) = TextJudge(Scripted(always("A: Yes\nB: No")), swap=True).decide([REQUEST])
    assert (partial.state, partial.verdict) == ("undecided", None)
    replies = iter([Reply("A: Yes\nB: No"), Reply(None, "timeout")])
    (half,) = TextJudge(Scripted(lambda _: next(replies)), swap=True).decide([REQUEST])
    assert half.state == "timeout"


def test_a_cache_asks_nothing_twice_and_keeps_no_failure(tmp_path: Path) -> None:
    first, second = Scripted(fair), Scripted(fair)
    for replier in (first, second):
        with JudgeCache(tmp_path / "cache.jsonl") as cache:
            decisions = TextJudge(replier, cache, swap=True).decide(requests(5))
    assert len(first.prompts) == 10
    assert second.prompts == []
    assert all(decision.cached for decision in decisions)
    with JudgeCache(tmp_path / "failed.jsonl") as cache:
        TextJudge(Scripted(always(None)), cache).decide([REQUEST])
        TextJudge(Scripted(always("what?")), cache).decide([REQUEST])
        # A malformed reply is a reply.
        assert len(cache) == 1
        again = TextJudge(first, cache).decide([REQUEST])
        assert (again[0].state, again[0].cached) == ("malformed", True)


def test_another_judge_has_its_own_replies(tmp_path: Path) -> None:
    prompt = judge_prompt(REQUEST)
    with JudgeCache(tmp_path / "cache.jsonl") as cache:
        cache.put(prompt, "one", "A: Yes\nB: No")
        cache.put(prompt, "one", "other text")
        assert cache.get(prompt, "one") == "A: Yes\nB: No"
        assert cache.get(prompt, "two") is None
    assert prompt_key(prompt, "one") != prompt_key(JudgePrompt("one", prompt.user), prompt.system)


def test_a_cache_cut_anywhere_ends_the_same(tmp_path: Path) -> None:
    path = tmp_path / "cache.jsonl"

    def run() -> tuple[int, list[Decision]]:
        replier = Scripted(fair)
        with JudgeCache(path, sync_every=4) as cache:
            decisions = TextJudge(replier, cache).decide(requests(20))
        return len(replier.prompts), [Decision(d.state, d.verdict) for d in decisions]

    _, expected = run()
    whole = path.read_bytes()
    rng = Random(1)
    for cut in rng.sample(range(len(whole)), 25):
        path.write_bytes(whole[:cut])
        known = whole[:cut].count(b"\n")
        asked, decisions = run()
        assert (asked, decisions) == (20 - known, expected)
        assert path.read_bytes() == whole


def test_another_file_is_no_cache(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('{"id": "q"}\n')
    with pytest.raises(LabelError, match="without 'key'; is it a cache of judge replies"):
        JudgeCache(path)
    with pytest.raises(LabelError, match="without 'key'"):  # and not locked by the first try
        JudgeCache(path)


def test_counts_and_the_limit() -> None:
    judge = CountedJudge(TextJudge(Scripted(fair)))
    judge.decide([*requests(4), JudgeRequest("?", ("owl",), "cat", "owl")])
    counts = judge.report.to_json()
    assert (counts["requests"], counts["only_a_right"], counts["only_b_right"]) == (5, 2, 1)
    assert (counts["both_wrong"], judge.report.failed) == (2, 0)
    failing = CountedJudge(TextJudge(Scripted(always("hm"))), FailureLimit(0.1, least=20))
    failing.decide(requests(2))
    with pytest.raises(LabelError) as caught:
        failing.decide(requests(3))
    assert str(caught.value) == (
        "judge scripted failed on 5 of 5 requests, over the limit of 10% "
        "(5 malformed, 0 timeouts, 0 errors); the last: reply 'hm'"
    )


@pytest.mark.parametrize("limit", [{"share": 1.5}, {"share": -0.1}, {"least": 0}])
def test_bad_limits(limit: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        FailureLimit(**limit)  # type: ignore[arg-type]


def test_a_function_as_a_judge() -> None:
    sizes = []

    def generate(prompts: Sequence[JudgePrompt]) -> list[str]:
        sizes.append(len(prompts))
        return [fair(prompt).text or "" for prompt in prompts]

    judge = TextJudge(LocalReplier(generate, "f", batch_size=3))
    assert [d.verdict for d in judge.decide(requests(7))] == [
        Verdict(i % 2 == 1, False) for i in range(7)
    ]
    assert sizes == [3, 3, 1]
    short = LocalReplier(lambda prompts: [], "short")
    with pytest.raises(LabelError, match="judge short gave 0 texts for 1 prompts"):
        TextJudge(short).decide([REQUEST])


def test_the_matcher_as_a_judge() -> None:
    judge = MatchJudge()
    assert judge.decide([REQUEST])[0].verdict == Verdict(True, False)
    assert judge.name == "strict match"
