"""`qzoom doctor` and `qzoom train` with stand-ins for model and training."""

import json
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest import mock

import pytest
import torch

import qzoom
from qzoom.cli import environment, main, selfcheck
from qzoom.errors import CheckpointError


class FakeModel:
    name, family, device, dtype = "tiny", "qwen3_vl", torch.device("cpu"), torch.float32
    config = SimpleNamespace(enabled=True)

    def __init__(self, text):
        self.text = text

    def open(self, image):
        assert image.mode == "RGB"
        return self

    def ask(self, question, **_):
        assert question == selfcheck.QUESTION
        return SimpleNamespace(text=self.text)


@pytest.fixture(autouse=True)
def clean_environment():
    with mock.patch.dict(os.environ):
        yield


def install(monkeypatch, text):
    monkeypatch.setattr(qzoom, "load", lambda: FakeModel(text), raising=False)


@pytest.mark.parametrize(
    ("text", "code", "right"), [("Tiger.", 0, True), ("river", 0, False), (" \n", 1, False)]
)
def test_code_follows_the_answer(monkeypatch, capsys, text, code, right):
    install(monkeypatch, text)
    assert main(["doctor", "--json"]) == code
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is (code == 0)
    assert report["check"]["right"] is right
    assert report["check"]["answer"] == text
    assert report["check"]["problem"] is None
    assert report["check"]["ask_s"] >= 0
    assert report["versions"]["torch"] == torch.__version__
    assert report["threads"] == torch.get_num_threads()
    assert report["devices"][0].startswith("cpu")
    assert "math" in report["attention"]["sdpa_backends"]
    assert Path(report["model"]["folder"]).is_relative_to(Path(qzoom.__file__).parent)
    assert report["model"]["dtype"] == "float32"


def test_text_report(monkeypatch, capsys):
    install(monkeypatch, "tiger")
    assert main(["doctor"]) == 0
    out, err = capsys.readouterr()
    rows = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert {"python", "torch", "device", "threads", "attention", "model", "answer"} <= set(rows)
    assert rows["model"] == "tiny (qwen3_vl, with zoom, float32 on cpu)"
    assert rows["answer"].startswith("'tiger' (right; loaded in")
    assert err == ""


def test_a_model_that_does_not_load_is_reported(monkeypatch, capsys):
    def fail():
        raise CheckpointError("no config.json\nin assets")

    monkeypatch.setattr(qzoom, "load", fail, raising=False)
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "does not load" in out
    assert "none: CheckpointError: no config.json in assets" in out


def test_a_broken_torch_is_reported(monkeypatch, capsys):
    def fail():
        raise OSError("libcudart.so: cannot open shared object file")

    monkeypatch.setattr(qzoom, "load", fail, raising=False)
    monkeypatch.setattr(environment, "_devices", fail)
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "cannot be imported" in out
    assert "libcudart.so" in out


def test_pretrain_gets_its_options(monkeypatch, tmp_path):
    seen = []
    module = ModuleType("qzoom.train.pretrain")
    module.main = seen.append
    monkeypatch.setitem(sys.modules, "qzoom.train.pretrain", module)
    recipe = tmp_path / "small.yaml"
    recipe.write_text("")
    options = ["--recipe", str(recipe), "--out", str(tmp_path / "out"), "--stage", "budgets"]
    assert main(["train", "pretrain", *options, "--workers", "0", "--threads", "2"]) == 0
    args = seen[0]
    assert (args.recipe, args.out, args.stage) == (recipe, tmp_path / "out", "budgets")
    assert (args.workers, args.threads) == (0, 2)
    assert main(["train", "pretrain", *options[:4]]) == 0
    assert (seen[1].recipe, seen[1].stage, seen[1].workers) == (recipe, "all", None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "required: WHAT"),
        (["train", "pretrain"], "required: --recipe, --out"),
        (["train", "pretrain", "--out", "x"], "required: --recipe"),
        (["train", "pretrain", "--recipe", "{here}", "--out", "{here}"], "is a file"),
        (["train", "pretrain", "--out", "x", "--recipe", "gone.yaml"], "no file at 'gone.yaml'"),
        (["train", "pretrain", "--out", "x", "--stage", "end"], "invalid choice: 'end'"),
        (["train", "pretrain", "--out", "x", "--workers", "-1"], "at least 0, got '-1'"),
        (["train", "pretrain", "--out", "x", "--threads", "0"], "at least 1, got '0'"),
        (["paint"], "invalid choice: 'paint'"),
    ],
)
def test_bad_usage(capsys, arguments, message):
    assert main([text.format(here=__file__) for text in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
