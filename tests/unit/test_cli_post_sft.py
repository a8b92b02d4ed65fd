"""`qzoom label answers` and `qzoom label mine`: what they write, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.tiny_chat import chat_checkpoint, picture
from tests.unit.labels_pool import row, write_rows

from qzoom.checkpoints.save import save_checkpoint
from qzoom.cli import main
from qzoom.labels import http_endpoint, judge_watch
from qzoom.labels.http_post import Response
from qzoom.labels.judge import Decision, JudgeRequest
from qzoom.labels.judge_match import MatchJudge

BOX = (30, 20, 160, 120)
KEY = "sk-very-secret"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model, four pictures (the last is missing) and a question about each."""
    save_checkpoint(tmp_path / "model", chat_checkpoint("qwen3_vl", roi_threshold=0.0))
    with (tmp_path / "records.jsonl").open("w") as file:
        for number in range(4):
            if number < 3:
                picture(220 + 20 * number, 200, seed=number).save(tmp_path / f"{number}.png")
            turn = {"question": f"what is {number}?", "answers": ["owl"]}
            record = {
                "schema": 1, "id": f"q{number}", "images": [f"{number}.png"], "turns": [turn],
                "dataset": "toy", "mode": "textual", "licence": "none", "source": "here",
            }  # fmt: skip
            file.write(json.dumps(record) + "\n")
    zoomed = {"zoomed": True, "box_px_xyxy": BOX}
    for name, texts, look in (("base", ("an owl", "cat"), {}), ("roi", ("cat", "owl"), zoomed)):
        rows = [
            row(f"q{i}", text, question=f"what is {i}?", **look) for i, text in enumerate(texts)
        ]
        write_rows(tmp_path / f"{name}.jsonl", rows)
    return tmp_path


def answers(folder: Path, *more: str) -> list[str]:
    where = ["--images", str(folder), "--out", f"{folder}/answers.jsonl"]
    model = ["--model", f"{folder}/model", "--max-new-tokens", "2", "--batch-size", "2"]
    return ["label", "answers", f"{folder}/records.jsonl", *where, *model, *more]


def mining(folder: Path, *more: str) -> list[str]:
    files = ["--base", f"{folder}/base.jsonl", "--roi", f"{folder}/roi.jsonl"]
    where = ["--images", str(folder), "--out", f"{folder}/mined.jsonl"]
    return ["label", "mine", f"{folder}/records.jsonl", *files, *where, *more]


def test_answers_are_written_and_gone_on_with(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    look = ["--look", "zoom", "--max-cells", "20"]
    assert main(answers(folder, *look, "--limit", "2")) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["answered"] == 2
    assert said.err == "answers: 2/2 questions (0 min left)\n"
    assert main(answers(folder, *look)) == 0
    report = json.loads(capsys.readouterr().out)
    assert {name: report[name] for name in ("records", "known", "answered", "failed")} == {
        "records": 4,
        "known": 2,
        "answered": 1,
        "failed": 1,
    }
    assert "no image '3.png'" in report["reasons"][0]
    found = lines(folder / "answers.jsonl")
    assert [each["id"] for each in found] == ["q0", "q1", "q2"]
    assert all(each["zoomed"] and each["cells"] <= 20 for each in found)
    assert {each["gate_probability"] for each in found} == {None}
    assert main(answers(folder, "--look", "direct")) == 2
    assert "was made with max_cells=20, not 64" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("look", "settings"),
    [
        (["direct", "--max-cells", "20"], (16, 20, "never", None)),
        (["direct", "--max-cells", "90", "--exact"], (90, 90, "never", None)),
        (["auto", "--gate-threshold", "1"], (16, 64, "auto", 1.0)),
    ],
)
def test_looks(folder: Path, look: list[str], settings: tuple[Any, ...]) -> None:
    assert main(answers(folder, "--look", *look, "--limit", "3")) == 0
    found = lines(folder / "answers.jsonl")
    assert not any(each["zoomed"] for each in found)
    assert all((each["gate_probability"] is None) == (look[0] != "auto") for each in found)
    kept = json.loads((folder / "answers.settings.json").read_text())
    names = ("min_cells", "max_cells", "zoom", "gate_threshold")
    assert tuple(kept[name] for name in names) == settings


@pytest.mark.parametrize("judge", [["match"], ["https://judge.test/v1"]])
def test_mining(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    judge: list[str],
) -> None:
    """A regression and, mixed in, an improvement; an endpoint is asked once, with the key."""
    asked: list[str] = []

    def post(url: str, content: Mapping[str, Any], headers: Mapping[str, str], **_: Any) -> Any:
        asked.append(f"{url} {content['model']} {headers['Authorization']}")
        user = content["messages"][1]["content"]
        words = ["Yes" if 'owl"' in _line(user, name) else "No" for name in "AB"]
        text = f"A: {words[0]}\nB: {words[1]}"
        body = json.dumps({"choices": [{"message": {"content": text}}]})
        return Response(200, body.encode(), None)

    monkeypatch.setattr(http_endpoint, "post_json", post)
    monkeypatch.setenv("JUDGE_KEY", KEY)
    more = ["--judge", *judge, "--improvements", "1", "--target", "ground_truth"]
    if judge != ["match"]:
        more += ["--judge-model", "judge-7b", "--api-key-env", "JUDGE_KEY", "--swap"]
        more += ["--judge-cache", f"{folder}/cache.jsonl"]
    for _ in range(2):
        assert main(mining(folder, *more)) == 0
        summary = json.loads(capsys.readouterr().out)
        assert summary["written"] == {"regression": 1, "improvement": 1, "miss": 0}
        assert summary["settings"]["target"] == "ground_truth"
    found = lines(folder / "mined.jsonl")
    assert [(each["id"], each["kind"]) for each in found] == [
        ("q0", "regression"),
        ("q1", "improvement"),
    ]
    assert all(each["box_px_xyxy"] == list(BOX) and each["target"] == "owl" for each in found)
    assert len(asked) == (0 if judge == ["match"] else 4)
    assert set(asked) <= {f"https://judge.test/v1/chat/completions judge-7b Bearer {KEY}"}
    stored = "".join(path.read_text() for path in folder.glob("*.json*"))
    assert KEY not in stored


def _line(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f'{name}: "'))


def test_a_local_judge_and_the_budget_of_the_look(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A random model's replies are no verdicts: everything is undecided, and said to be."""
    (folder / "roi.settings.json").write_text('{"max_cells": 20}')
    local = ["--judge", "local", "--judge-model", f"{folder}/model", "--most-bad", "1"]
    assert main(mining(folder, *local)) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["counts"]["not_decided"] == summary["verdicts"]["malformed"] == 2
    assert main(mining(folder, "--judge", "match")) == 0
    (found,) = lines(folder / "mined.jsonl")
    assert found["cells"] == 20
    (folder / "roi.settings.json").write_text("{")
    assert main(mining(folder, "--judge", "match")) == 2
    assert "settings.json is damaged" in capsys.readouterr().err


def test_a_watched_judge_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 0.0, 4.0, 12.0, 13.0])
    monkeypatch.setattr(judge_watch.time, "monotonic", lambda: next(times))
    said: list[str] = []
    judge = judge_watch.Watched(MatchJudge(), said.append)
    request = JudgeRequest("what?", ("owl",), "owl", "cat")
    decided: Sequence[Decision] = [d for _ in range(3) for d in judge.decide([request] * 2)]
    assert said == ["judged 4 pairs of answers, 3.00 s each"]
    assert len(decided) == 6
    assert judge.name == "strict match"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: --look"),
        (["--look", "closer"], "invalid choice: 'closer'"),
        (["--look", "zoom", "--gate-threshold", "0.1"], "no effect with --look zoom"),
        (["--look", "auto", "--gate-threshold", "2"], "a number from 0 to 1"),
        (["--look", "zoom", "--exact", "--max-cells", "9"], "no effect with --look zoom"),
        (["--look", "direct", "--exact"], "--exact needs --max-cells"),
        (["--look", "direct", "--out", "{folder}"], "is a folder; name a file"),
        (["--look", "direct", "--images", "{folder}/none"], "no image folder at"),
        (["--look", "direct", "--limit", "0"], "at least 1"),
        (["--look", "direct", "--most-bad", "0", "--limit", "4"], "1 of 4 records cannot be"),
    ],
)
def test_what_cannot_be_answered_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    refused(answers(folder, *arguments), folder, capsys, message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: --judge"),
        (["--judge", "gpt"], "use match, local, or a URL"),
        (["--judge", "match", "--swap"], "--swap has no effect with --judge match"),
        (["--judge", "match", "--judge-model", "m"], "--judge-model has no effect"),
        (["--judge", "local"], "needs --judge-model"),
        (["--judge", "local", "--judge-model", "m", "--api-key-env", "K"], "--api-key-env has no"),
        (["--judge", "https://a.test/v1"], "needs --judge-model"),
        (["--judge", "https://a.test/v1", "--judge-model", "m", "--device", "cpu"], "--device has"),
        (
            ["--judge", "https://a.test/v1", "--judge-model", "m", "--api-key-env", "NO_SUCH_KEY"],
            "variable NO_SUCH_KEY holds no key",
        ),
        (
            ["--judge", "http://a.test/v1", "--judge-model", "m", "--api-key-env", "K"],
            "the key would travel unencrypted",
        ),
        (["--judge", "match", "--improvements", "-1"], "a number of at least 0"),
        (["--judge", "match", "--out", "{folder}/base.jsonl"], "--out is the file of --base"),
        (["--judge", "match", "--base", "{folder}/none"], "no file at"),
        (["--judge", "match", "--roi", "{folder}/records.jsonl"], "is it a file of answers"),
    ],
)
def test_what_cannot_be_mined_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    refused(mining(folder, *arguments), folder, capsys, message)


def refused(
    command: list[str], folder: Path, capsys: pytest.CaptureFixture[str], message: str
) -> None:
    """Ended by one line on the error stream, with code 2."""
    assert main([argument.format(folder=folder) for argument in command]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.splitlines()[-1].startswith("qzoom: ")
    assert (said.out, sum(line.startswith("qzoom: ") for line in said.err.splitlines())) == ("", 1)
