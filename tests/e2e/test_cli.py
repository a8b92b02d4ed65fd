"""The command line as a process: start-up, exit codes, pipes, and the embedded model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
HEAVY = {"torch", "transformers", "numpy", "PIL", "huggingface_hub", "tokenizers", "safetensors"}

FAKE = """
import sys
from types import SimpleNamespace
import qzoom
from qzoom.cli import main

answer = SimpleNamespace(text="x" * 1_000_000)
session = SimpleNamespace(ask=lambda *_, **__: answer)
qzoom.load = lambda *_, **__: SimpleNamespace(open=lambda _: session)
sys.exit(main(sys.argv[1:]))
"""


def qzoom(*arguments, **options):
    command = [sys.executable, "-m", "qzoom.cli", *arguments]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, **options)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "red.png"
    Image.new("RGB", (64, 64), (200, 30, 30)).save(path)
    return str(path)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["ask", "--help"], ["--version"]])
def test_starting_up_imports_nothing_heavy(arguments):
    code = (
        "import sys, qzoom\n"
        "from qzoom.cli import main\n"
        f"main({arguments!r})\n"
        "print('loaded:', *{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    loaded = done.stdout.splitlines()[-1].split()
    assert loaded[0] == "loaded:"
    assert not HEAVY & set(loaded)


def test_help_and_version_go_to_stdout():
    done = qzoom("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(verb in done.stdout for verb in ("ask", "doctor", "train"))
    done = qzoom("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("qzoom ")
    done = qzoom()
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: qzoom" in done.stderr


def test_a_wrong_path_is_one_line():
    done = qzoom("ask", "gone.png", "what is it?")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "qzoom: no image file at gone.png\n"


def test_a_closed_pipe_ends_quietly(picture):
    process = subprocess.Popen(
        [sys.executable, "-c", FAKE, "ask", picture, "q"],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=60) == 141


@pytest.mark.skipif(
    not any((ROOT / "src" / "qzoom" / "assets").rglob("*.safetensors")),
    reason="no embedded model in this tree",
)
def test_the_embedded_model_answers(tmp_path):
    done = qzoom("doctor", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0, report["check"]
    assert done.stderr == ""
    assert report["check"]["right"], report["check"]

    from qzoom.cli.selfcheck import QUESTION, example_picture

    example_picture().save(tmp_path / "signs.png")
    view = tmp_path / "view.png"
    done = qzoom("ask", "-", QUESTION, "--json", "--save-view", str(view), stdin=None)
    assert done.returncode == 2
    with open(tmp_path / "signs.png", "rb") as file:
        done = qzoom("ask", "-", QUESTION, "--json", "--save-view", str(view), stdin=file)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["text"] == report["check"]["answer"]
    assert Image.open(view).format == "PNG"
