"""`qzoom ask` with a model that answers from a script."""

import io
import json
import os
import sys
import warnings
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from PIL import Image

import qzoom
from qzoom.cli import main
from qzoom.cli.quiet import hush_libraries
from qzoom.errors import CheckpointError
from qzoom.zoom.answer import AnswerStream, ZoomAnswer

BOX = (8, 4, 40, 20)


def make_answer(**changes):
    fields = {
        "text": "a red bus",
        "zoomed": True,
        "gate_probability": 0.8312,
        "boxes_xyxy_px": [BOX],
        "heatmap": torch.rand(4, 6, generator=torch.Generator().manual_seed(0)),
        "image_index": 0,
        "token_ids": [1, 2, 3],
        "usage": {"prompt_tokens": 60, "visual_tokens": 24, "roi_tokens": 9, "new_tokens": 3},
        "timings_s": {"encode": 0.25, "total": 1.239},
    }
    return ZoomAnswer(**{**fields, **changes})


class FakeModel:
    """Notes how it is called; `answer` may be an error to raise."""

    def __init__(self, answer):
        self.answer = answer
        self.calls = []

    def load(self, name=None, **options):
        self.calls.append(("load", name, options))
        if name == "nobody/nothing":
            raise CheckpointError(f"no folder and no hub repository {name!r}\ncheck the name")
        return self

    def open(self, image):
        self.images = [image]
        return self

    def ask(self, question, *, stream=False, **options):
        self.calls.append(("ask", question, options | {"stream": stream}))
        if isinstance(self.answer, BaseException):
            raise self.answer
        if not stream:
            return self.answer
        words = [word + " " for word in self.answer.text.split()]
        return AnswerStream(iter([*words, self.answer]))


@pytest.fixture(autouse=True)
def environment():
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture
def model(monkeypatch):
    fake = FakeModel(make_answer())
    monkeypatch.setattr(qzoom, "load", fake.load, raising=False)
    return fake


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "bus.png"
    Image.new("RGB", (60, 40), (200, 30, 30)).save(path)
    return str(path)


@pytest.fixture
def terminal():
    """Both ends of a terminal: what is read from the first was written to the second."""
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as screen:
        yield SimpleNamespace(screen=screen, read=lambda: _line_of(master))
    os.close(master)


def _line_of(descriptor):
    """What was written up to the end of a line; a terminal hands it over in pieces."""
    found = b""
    while not found.endswith(b"\n"):
        found += os.read(descriptor, 65536)
    return found.decode()


def fails(capsys, *arguments):
    """Exit code and the one line on stderr."""
    code = main(["ask", *arguments])
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    return code, err


def test_plain_answer(model, picture, capsys):
    assert main(["ask", picture, "what is it?"]) == 0
    out, err = capsys.readouterr()
    assert out == "a red bus\n"
    assert err == ""
    assert model.images[0].size == (60, 40)
    thresholds = {"effort": None, "gate_threshold": None, "roi_threshold": None}
    defaults = {"max_new_tokens": 64, "zoom": "auto", **thresholds}
    assert model.calls == [
        ("load", None, {"adapter": None, "dtype": None, "device": None}),
        ("ask", "what is it?", {**defaults, "stream": False}),
    ]


def test_options_arrive(model, picture):
    options = ["--model", "m", "--adapter", "a", "--device", "cpu", "--dtype", "float32"]
    options += ["--max-new-tokens", "5"]
    thresholds = ["--gate-threshold", "0.5", "--roi-threshold", "0"]
    assert main(["ask", picture, "q", *options, *thresholds]) == 0
    assert model.calls[0] == ("load", "m", {"adapter": "a", "dtype": "float32", "device": "cpu"})
    asked = model.calls[1][2]
    assert (asked["max_new_tokens"], asked["gate_threshold"], asked["roi_threshold"]) == (5, 0.5, 0)
    assert main(["ask", picture, "q", "--effort", "low"]) == 0
    assert model.calls[-1][2]["effort"] == "low"
    assert main(["ask", picture, "q", "--direct"]) == 0
    assert model.calls[-1][2]["zoom"] == "never"


def test_json_has_exactly_these_keys(model, picture, capsys):
    assert main(["ask", picture, "q", "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert list(found) == [
        "text", "zoomed", "gate_probability", "boxes_xyxy_px", "usage", "finish_reason", "timings_s"
    ]  # fmt: skip
    assert found["boxes_xyxy_px"] == [list(BOX)]
    assert found["usage"] == model.answer.usage
    assert err == ""
    assert "\x1b" not in out


def test_json_of_a_plain_backbone_is_ascii(model, picture, capsys):
    model.answer = make_answer(
        text="Café\n\x1b[31m", zoomed=False, gate_probability=None, boxes_xyxy_px=[], heatmap=None
    )
    assert main(["ask", picture, "q", "--json"]) == 0
    out = capsys.readouterr().out
    assert out.isascii()
    assert out.count("\n") == 1
    found = json.loads(out)
    assert (found["text"], found["gate_probability"]) == ("Café\n\x1b[31m", None)


def test_image_from_stdin(model, picture, monkeypatch):
    with open(picture, "rb") as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.read())))
    assert main(["ask", "-", "q"]) == 0
    assert model.images[0].size == (60, 40)


def test_stdin_needs_a_pipe(model, terminal, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", terminal.screen)
    code, err = fails(capsys, "-", "q")
    assert code == 2
    assert "nothing is piped in" in err
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    code, err = fails(capsys, "-", "q")
    assert code == 2
    assert "0 bytes" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.png", "q"], "no image file at gone.png"),
        (["https://a.example/b.png", "q"], "not fetched from URLs"),
        (["{picture}"], "required: QUESTION"),
        (["{picture}", " \n"], "question is empty"),
        (["{picture}", "q", "--gate-threshold", "nan"], "from 0 to 1, got 'nan'"),
        (["{picture}", "q", "--gate-threshold", "inf"], "from 0 to 1, got 'inf'"),
        (["{picture}", "q", "--gate-threshold", "-0.1"], "from 0 to 1, got '-0.1'"),
        (["{picture}", "q", "--roi-threshold", "abc"], "from 0 to 1, got 'abc'"),
        (["{picture}", "q", "--max-new-tokens", "0"], "at least 1, got '0'"),
        (["{picture}", "q", "--max-new-tokens", "1e3"], "at least 1, got '1e3'"),
        (["{picture}", "q", "--gate", "0.5"], "unrecognized arguments: --gate"),
        (["{picture}", "q", "--direct", "--roi-threshold", "0.1"], "no effect with --direct"),
        (["{picture}", "q", "--direct", "--effort", "low"], "--effort has no effect with --direct"),
        (["{picture}", "q", "--effort", "low", "--gate-threshold", "0"], "give one"),
        (["{picture}", "q", "--effort", "some"], "invalid choice: 'some'"),
        (["{picture}", "q", "--dtype", "int8"], "invalid choice: 'int8'"),
    ],
)
def test_bad_input_ends_before_the_model_loads(model, picture, capsys, arguments, message):
    code, err = fails(capsys, *(text.format(picture=picture) for text in arguments))
    assert code == 2
    assert err.startswith("qzoom: ")
    assert message in err
    assert model.calls == []


def test_unknown_model(model, picture, capsys):
    code, err = fails(capsys, picture, "q", "--model", "nobody/nothing")
    assert (code, err) == (
        2,
        "qzoom: no folder and no hub repository 'nobody/nothing' check the name\n",
    )


def test_no_image_behind_the_name(model, tmp_path, capsys):
    (tmp_path / "text.png").write_text("hello")
    code, err = fails(capsys, str(tmp_path / "text.png"), "q")
    assert code == 2
    assert "not a readable image" in err


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("view.jpg", "does not end in .png"),
        ("none/view.png", "create it first"),
        ("folder.png", "is a folder"),
        ("bus.png", "is the image itself"),
    ],
)
def test_bad_view_path(model, picture, tmp_path, capsys, target, message):
    (tmp_path / "folder.png").mkdir()
    code, err = fails(capsys, picture, "q", "--save-view", str(tmp_path / target))
    assert code == 2
    assert message in err
    assert model.calls == []


def test_view_into_a_locked_folder(model, picture, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(os, "access", lambda *_: False)
    code, err = fails(capsys, picture, "q", "--save-view", str(tmp_path / "view.png"))
    assert code == 2
    assert "not writable" in err


def test_view_is_written(model, picture, tmp_path, capsys):
    before = set(tmp_path.iterdir())
    target = tmp_path / "view.png"
    assert main(["ask", picture, "what is it?", "--save-view", str(target)]) == 0
    with Image.open(target) as view:
        assert view.format == "PNG"
        view.load()
    assert set(tmp_path.iterdir()) - before == {target}
    assert capsys.readouterr().out == "a red bus\n"


def test_full_disk_is_one_line(model, picture, tmp_path, monkeypatch, capsys):
    def fail(*_, **__):
        raise OSError(28, "No space left on device", "view.png")

    monkeypatch.setattr(Image.Image, "save", fail)
    assert main(["ask", picture, "q", "--save-view", str(tmp_path / "view.png")]) == 1
    assert capsys.readouterr().err == "qzoom: No space left on device: view.png\n"
    assert [path.name for path in tmp_path.iterdir()] == ["bus.png"]


def test_note_on_a_terminal_is_dim(model, picture, terminal, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", terminal.screen)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert main(["ask", picture, "q"]) == 0
    expected = (
        "looked closer, gate 0.83 | box 8,4,40,20 px | tokens: 24 image + 9 region + 3 new | 1.24 s"
    )
    assert terminal.read() == f"\x1b[2m{expected}\x1b[0m\r\n"
    assert capsys.readouterr().out == "a red bus\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(["ask", picture, "q"]) == 0
    assert terminal.read() == f"{expected}\r\n"


def test_answer_on_a_terminal_is_streamed(model, picture, terminal, monkeypatch, capsys):
    model.answer = make_answer(text="a \x1b[31mred\x07 bus")
    monkeypatch.setattr(sys, "stdout", terminal.screen)
    assert main(["ask", picture, "q"]) == 0
    # An answer must not steer the terminal.
    assert terminal.read() == "a [31mred bus \r\n"
    assert model.calls[-1][2]["stream"] is True
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, ""),
        (MemoryError(), 1, "qzoom: out of memory"),
        (torch.OutOfMemoryError("CUDA: tried to allocate"), 1, "qzoom: the device is out of"),
    ],
)
def test_ends_without_traceback(model, picture, capsys, error, code, message):
    model.answer = error
    assert main(["ask", picture, "q"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(message)
    assert err.count("\n") <= 1


def test_libraries_are_hushed_unless_the_user_wants_them(monkeypatch, recwarn):
    monkeypatch.setattr(sys, "warnoptions", [])
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "info")
    monkeypatch.delenv("HF_HUB_VERBOSITY", raising=False)
    hush_libraries()
    assert os.environ["TRANSFORMERS_VERBOSITY"] == "info"
    assert os.environ["HF_HUB_VERBOSITY"] == "error"
    warnings.warn("a library speaks", stacklevel=1)
    assert not recwarn


def test_faults_of_our_own_keep_their_traceback(model, picture):
    model.answer = RuntimeError("shapes differ")
    with pytest.raises(RuntimeError, match="shapes differ"):
        main(["ask", picture, "q"])
