"""Mining: which rows come out, in which order, and the same after a kill."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.unit.labels_pool import Record, row, write_rows

from qzoom.errors import ConfigError, LabelError
from qzoom.labels.failures import FailureLimit
from qzoom.labels.judge import JudgePrompt, Reply
from qzoom.labels.judge_cache import JudgeCache
from qzoom.labels.judge_match import MatchJudge
from qzoom.labels.judging import CountedJudge, TextJudge
from qzoom.labels.mining import MiningSettings, mine

BOX = (1, 2, 30, 40)
# Base and zoomed answer by the last digit of the id; "owl" is right.
TEXTS = (("an owl", "cat"), ("cat", "owl"), ("owl", "owl"), ("dog", "cat"), ("owl", "an owl"))


class OwlReader:
    """A judge that knows owls, asked through text; stops dead after `replies` of them."""

    name = "owl reader"

    def __init__(self, most: int | None = None) -> None:
        self.most, self.asked = most, 0

    def replies(self, prompts: Sequence[JudgePrompt]) -> Iterator[Reply]:
        for prompt in prompts:
            if self.asked == self.most:
                raise KeyboardInterrupt
            self.asked += 1
            lines = prompt.user.splitlines()
            said = [next(line for line in lines if line.startswith(f'{n}: "')) for n in "AB"]
            words = ["Yes" if "owl" in line else "No" for line in said]
            yield Reply(f"A: {words[0]}\nB: {words[1]}")


def records(count: int) -> list[Record]:
    return [
        Record(f"q{i}", question=f"what is {i}?", ground_truths=("owl", "bird"))
        for i in range(count)
    ]


def files(folder: Path, count: int, **fields: Any) -> tuple[Path, Path]:
    zoomed = {"zoomed": True, "box_px_xyxy": BOX} | fields
    pairs = [(f"q{i}", *TEXTS[i % 5]) for i in range(count)]
    asked = {f"q{i}": {"question": f"what is {i}?"} for i in range(count)}
    base = [row(name, text, **asked[name]) for name, text, _ in pairs]
    roi = [row(name, text, **asked[name] | zoomed) for name, _, text in pairs]
    # In any order.
    return write_rows(folder / "base.jsonl", base[::-1]), write_rows(folder / "roi.jsonl", roi)


def matcher() -> CountedJudge:
    return CountedJudge(MatchJudge())


def mined(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_regressions_are_mined_in_the_order_of_the_pool(tmp_path: Path) -> None:
    out = tmp_path / "mined.jsonl"
    summary = mine(records(20), *files(tmp_path, 20), matcher(), out)
    rows = mined(out)
    assert [each["id"] for each in rows] == ["q0", "q5", "q10", "q15"]
    assert rows[1] == {
        "id": "q5",
        "question": "what is 5?",
        "image": "q5.png",
        "kind": "regression",
        "target": "an owl",
        "base": "an owl",
        "roi": "cat",
        "box_px_xyxy": list(BOX),
    }
    assert summary["counts"] == {
        "records": 20,
        "regression": 4,
        "improvement": 4,
        "unanswered": 0,
        "not_zoomed": 0,
        "same_text": 4,
        "not_decided": 0,
        "both": 4,
        "miss": 4,
    }
    assert summary["written"] == {"regression": 4, "improvement": 0, "miss": 0}
    assert json.loads((tmp_path / "mined.summary.json").read_text()) == summary


def test_rows_name_the_budget_of_the_zoomed_look(tmp_path: Path) -> None:
    inputs = files(tmp_path, 5)
    (tmp_path / "base.settings.json").write_text('{"max_cells": 448}')
    (tmp_path / "roi.settings.json").write_text('{"max_cells": 64}')
    mine(records(5), *inputs, matcher(), tmp_path / "mined.jsonl")
    assert [each["cells"] for each in mined(tmp_path / "mined.jsonl")] == [64]


def test_improvements_are_mixed_in_by_ratio(tmp_path: Path) -> None:
    out, inputs = tmp_path / "mined.jsonl", files(tmp_path, 40)
    half = MiningSettings(improvements=0.5, target="ground_truth")
    summary = mine(records(40), *inputs, matcher(), out, half)
    assert summary["written"] == {"regression": 8, "improvement": 4, "miss": 0}
    rows = mined(out)
    assert {each["target"] for each in rows} == {"owl"}
    numbers = [int(each["id"][1:]) for each in rows]
    assert numbers == sorted(numbers)
    first = out.read_bytes()
    mine(records(40), *inputs, matcher(), out, half)
    assert out.read_bytes() == first
    mine(records(40), *inputs, matcher(), out, MiningSettings(improvements=0.5, seed=1))
    assert {each["id"] for each in mined(out)} != {each["id"] for each in rows}
    # Asked for its own answer, an improvement teaches the zoomed one.
    improved = [each for each in mined(out) if each["kind"] == "improvement"]
    assert {each["target"] for each in improved} == {"owl"}


def test_misses_teach_the_ground_truth_even_where_both_answers_are_the_same(
    tmp_path: Path,
) -> None:
    out, inputs = tmp_path / "mined.jsonl", files(tmp_path, 40)
    summary = mine(records(40), *inputs, matcher(), out, MiningSettings(misses=10.0))
    same = [i for i in range(5) if TEXTS[i][0] == TEXTS[i][1]]
    assert same
    missed = {each["id"] for each in mined(out) if each["kind"] == "miss"}
    expected = {f"q{i}" for i in range(40) if not any("owl" in text for text in TEXTS[i % 5][:2])}
    assert missed == expected
    assert summary["counts"]["same_text"] == 0
    assert {each["target"] for each in mined(out) if each["kind"] == "miss"} == {"owl"}


def test_what_is_passed_over(tmp_path: Path) -> None:
    base, roi = files(tmp_path, 5)
    asked = ({"question": f"what is {i}?"} for i in range(2))
    rows = row("q0", "cat", **next(asked)), row("q1", "owl", zoomed=True, **next(asked))
    write_rows(roi, rows)
    summary = mine(records(6), base, roi, matcher(), tmp_path / "mined.jsonl")
    counts = {name: count for name, count in summary["counts"].items() if count}
    assert counts == {"records": 6, "improvement": 1, "unanswered": 4, "not_zoomed": 1}
    assert mined(tmp_path / "mined.jsonl") == []


def text_judge(reader: OwlReader, cache: JudgeCache, swap: bool = True) -> CountedJudge:
    return CountedJudge(TextJudge(reader, cache, swap=swap))


def run(folder: Path, most: int | None = None) -> int:
    """Mine with a cache; how often the judge was asked."""
    reader = OwlReader(most)
    settings = MiningSettings(improvements=0.5, batch_size=3)
    inputs = folder / "base.jsonl", folder / "roi.jsonl"
    with JudgeCache(folder / "cache.jsonl", sync_every=2) as cache:
        mine(records(25), *inputs, text_judge(reader, cache), folder / "mined.jsonl", settings)
    return reader.asked


def test_a_killed_run_ends_with_the_same_files(tmp_path: Path) -> None:
    files(tmp_path, 25)
    asked = run(tmp_path)
    out, cache = tmp_path / "mined.jsonl", tmp_path / "cache.jsonl"
    wanted, replies = out.read_bytes(), cache.read_bytes()
    assert len(wanted.splitlines()) == 7
    out.unlink()
    cache.unlink()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, most=11)
    assert not out.exists()
    assert run(tmp_path) == asked - 11
    assert (out.read_bytes(), cache.read_bytes()) == (wanted, replies)
    rng = Random(3)
    for _ in range(6):
        cache.write_bytes(replies[: rng.randrange(len(replies))])
        out.write_bytes(wanted[: rng.randrange(len(wanted))])
        (tmp_path / ".draft-mined.jsonl").write_bytes(b"left over")
        run(tmp_path)
        assert (out.read_bytes(), cache.read_bytes()) == (wanted, replies)
        assert not (tmp_path / ".draft-mined.jsonl").exists()


def test_undecided_requests_are_counted_and_the_limit_stops(tmp_path: Path) -> None:
    class Mumbler(OwlReader):
        def replies(self, prompts: Sequence[JudgePrompt]) -> Iterator[Reply]:
            return iter([Reply("well, A: Yes perhaps")] * len(prompts))

    inputs, out = files(tmp_path, 10), tmp_path / "mined.jsonl"
    generous = CountedJudge(TextJudge(Mumbler()), FailureLimit(1.0))
    summary = mine(records(10), *inputs, generous, out)
    assert summary["counts"]["not_decided"] == 8
    assert summary["verdicts"]["malformed"] == 8
    out.unlink()
    strict = CountedJudge(TextJudge(Mumbler()), FailureLimit(0.0))
    with pytest.raises(LabelError, match=r"judge owl reader failed on 8 of 8 requests"):
        mine(records(10), *inputs, strict, out)
    assert not out.exists()


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    inputs, out = files(tmp_path, 3), tmp_path / "mined.jsonl"
    with pytest.raises(LabelError, match="gone through twice; give a list"):
        mine(iter(records(3)), *inputs, matcher(), out)
    with pytest.raises(LabelError, match="two records of the pool have the id 'q0'"):
        mine([*records(3), *records(1)], *inputs, matcher(), out)
    with pytest.raises(LabelError, match=r"roi2.jsonl cannot be read"):
        mine(records(3), inputs[0], tmp_path / "roi2.jsonl", matcher(), out)
    for settings, message in [
        ({"target": "base"}, "target is 'base'; use 'answer' or 'ground_truth'"),
        ({"improvements": -1.0}, "improvements is -1.0; it must be 0 or more"),
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
    ]:
        with pytest.raises(ConfigError, match=message):
            MiningSettings(**settings)  # type: ignore[arg-type]


def test_answers_to_other_questions_are_refused(tmp_path: Path) -> None:
    base, roi = files(tmp_path, 2)
    asked = [Record(f"q{i}", question="how many?") for i in range(2)]
    with pytest.raises(LabelError, match=r"base.jsonl answers another question under the id 'q0'"):
        mine(asked, base, roi, matcher(), tmp_path / "mined.jsonl")
