"""The calls that README and docs/serving.md show, run as they stand against a server."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.serve.live import NAME, served

import qzoom
from qzoom.eval.methods.base import Told
from qzoom.eval.methods.endpoint_reply import read_reply

ROOT = Path(__file__).resolve().parents[2]
SERVING = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(text, language):
    (found,) = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return found


@pytest.fixture(scope="module")
def address():
    with served(qzoom.load()) as (_, url):
        yield url.removeprefix("http://").removesuffix("/v1")


def run(command, text):
    done = subprocess.run(
        [*command, text], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def expected():
    return qzoom.load().open(ROOT / "examples" / "receipt.png").ask("What is the total?")


def test_both_show_the_same_curl():
    assert block(SERVING, "sh") == block(README, "sh")


def test_curl(address):
    shown = block(README, "sh")
    assert "localhost:8000" in shown
    body = run(["bash", "-c"], shown.replace("localhost:8000", address))
    found, answer = json.loads(body), expected()
    assert found["choices"][0]["message"]["content"] == answer.text
    assert found["qzoom"]["boxes_xyxy_px"] == [list(box) for box in answer.boxes_xyxy_px]
    told = read_reply(body.encode(), 1.0)
    assert isinstance(told, Told)
    assert told.boxes_px_xyxy == tuple(answer.boxes_xyxy_px)
    assert told.source_tokens == answer.usage["visual_tokens"]
    assert told.roi_tokens == answer.usage["roi_tokens"]
    assert told.seconds["server_decode"] > 0


def test_the_official_client(address):
    shown = block(SERVING, "python")
    assert "localhost:8000" in shown
    shown = shown.replace("localhost:8000", address).replace("qzoom-tiny", NAME)
    out = run([sys.executable, "-c"], shown)
    first, *text, last, tokens = out.splitlines()
    answer = expected()
    assert "".join(text) == answer.text
    assert "session_reused" in first
    assert "'zoomed': True" in last
    assert "timings_s" in last
    count = answer.usage["prompt_tokens"] + answer.usage["new_tokens"]
    assert tokens == f"{count} tokens"


def test_the_fields_of_the_documents_are_those_of_the_code(address):
    from qzoom.serve.schemas import _REFUSED, ChatRequest, ZoomFields

    protocol = SERVING.partition("## The protocol")[2].partition("\n## ")[0]
    zoom = SERVING.partition("## Zoom")[2].partition("\n## ")[0]
    for name in ZoomFields.model_fields:
        assert f"`{name}`" in zoom
    named = set(re.findall(r"`([a-z_]+)[`.]", protocol))
    taken = set(ChatRequest.model_fields) - {"messages", "model", "qzoom", "cache_salt"}
    spoken_of = {"presence_penalty", "frequency_penalty"}
    assert taken - spoken_of <= named
    assert {"tools", "functions", "logit_bias", "prompt_embeds", "audio"} <= set(_REFUSED) & named


def test_the_environment_of_keys_is_the_one_that_is_read():
    from qzoom.cli.serve import KEY_VARIABLE

    assert f"`{KEY_VARIABLE}` holds" in SERVING
    assert KEY_VARIABLE not in os.environ
