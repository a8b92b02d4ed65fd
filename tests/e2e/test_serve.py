"""`qzoom serve` as a process: it greets, answers, and stops when told."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from tests.serve.live import user

import qzoom
from qzoom.cli import main
from qzoom.serve import server
from qzoom.serve.state import ServerState

KEY = "0123456789abcdef-key"


@contextmanager
def serving(*options: str, **variables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "qzoom", "serve", "--port", "0", "--threads", "1", *options]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | variables
    )
    try:
        assert process.stderr is not None
        first = process.stderr.readline()
        found = re.search(r"http://\S+/v1", first)
        assert found, first
        yield process, found.group()
    finally:
        process.kill()
        process.wait(10)


def test_it_answers_as_the_library_and_finishes_when_stopped() -> None:
    image = Image.open(Path(__file__).parents[2] / "examples" / "street.png")
    question = "what word is on the red sign?"
    body = {"messages": [user(image, question)], "stream": True, "max_tokens": 8}
    with serving(QZOOM_API_KEYS=KEY) as (process, url):
        assert httpx.get(url + "/models").status_code == 401
        headers = {"Authorization": f"Bearer {KEY}"}
        with httpx.stream(
            "POST", url + "/chat/completions", json=body, headers=headers, timeout=60
        ) as response:
            lines = response.iter_lines()
            first = next(lines)
            process.send_signal(signal.SIGTERM)
            rest = [line for line in lines if line]
        assert process.wait(30) in (0, -signal.SIGTERM)
    assert rest[-1] == "data: [DONE]"
    chunks = [json.loads(line[6:]) for line in (first, *rest[:-1])]
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert text == qzoom.load().open(image).ask(question, max_new_tokens=8).text


def test_a_dead_engine_is_a_failure_of_the_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def served(state: ServerState, *_: Any, **__: Any) -> None:
        state.engine.died = True

    monkeypatch.setattr(server, "serve", served)
    assert main(["serve", "--port", "0"]) == 1
    assert "the engine died" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "variables", "says"),
    [
        (["--host", "0.0.0.0"], {}, "set an API key"),
        ([], {"QZOOM_API_KEYS": "short"}, "16 or more"),
        (["--port", "99999"], {}, "is no port"),
        (["--cache-mb", "-1"], {}, "cache_bytes"),
    ],
)
def test_what_it_will_not_do_is_said_in_a_line(
    options: list[str],
    variables: dict[str, str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main(["serve", *options]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
