"""`qzoom data` from the command line."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qzoom.cli import main
from qzoom.data.images import ImageFolder
from qzoom.data.jsonl import read_records, write_records
from qzoom.data.readers.synth import write_scenes
from qzoom.data.records import Record, Turn

SOURCE = Path(__file__).resolve().parents[2] / "src"


@pytest.fixture
def records(tmp_path: Path) -> Path:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    turn = Turn("What?", ("owl",), ((0, 0, 4, 4),))
    found = [Record(str(i), ("a.png",), (turn,), "d", "textual", "CC0", "here") for i in range(3)]
    write_records(tmp_path / "r.jsonl", found)
    return tmp_path / "r.jsonl"


def test_check_prints_a_report(records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["data", "check", str(records), "--images", str(records.parent), "--decode"]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert "3 records, 3 turns (3 with answers), 3 boxes" in out
    assert "images   1 decoded" in out
    assert out.endswith("problems 0\n")
    assert err == ""
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["by_licence"] == {"CC0": 3}


def test_check_fails_above_the_limit(records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with records.open("ab") as file:
        file.write(b"nonsense\n{}")
    assert main(["data", "check", str(records)]) == 2
    out, err = capsys.readouterr()
    assert "bad rows: 2" in out
    assert f"{records}:4: the line is not JSON" in out
    assert err == f"qzoom: {records}: problems: 2, allowed: 0\n"
    assert main(["data", "check", str(records), "--max-bad", "1"]) == 2
    assert main(["data", "check", str(records), "--max-bad", "2"]) == 0


def test_convert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {
        "image": "/far/gqa/1.jpg",
        "text": "Is it?\nAnswer the question using a single word or phrase.",
        "answer": "no",
    }
    (tmp_path / "pool.jsonl").write_text(json.dumps(row) + "\n")
    out = tmp_path / "r.jsonl"
    common = ["data", "convert", "qzoom_hosted", str(tmp_path / "pool.jsonl")]
    common += ["--images", str(tmp_path), "--out", str(out)]
    options = ["--map", "/far/=", "--only", "gqa/", "--strip-suffix", "--licence", "CC0"]
    assert main([*common, *options, "--dataset", "gqa", "--split", "val"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["records"], report["missing_images"]) == (1, 1)
    (record,) = read_records(out)
    assert record.turns == (Turn("Is it?", ("no",)),)
    assert (record.dataset, record.licence, record.split) == ("gqa", "CC0", "val")
    out.unlink()
    assert main(common) == 2
    error = capsys.readouterr().err
    assert "must be relative to the image root" in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_synth_draws_what_the_world_draws(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "world"
    assert main(["data", "synth", "--scenes", "2", "--out", str(out), "--seeds", "mine"]) == 0
    file = Path(capsys.readouterr().out.strip())
    assert file == out / "records.jsonl"
    first, second = read_records(file)
    assert (first.id, second.id) == ("synth-mine-train-0", "synth-mine-train-1")
    assert (first.images, first.mode, first.split) == (("images/000000.png",), "textual", "train")
    assert all(turn.answers for turn in first.turns)
    arguments = ["data", "check", str(file), "--images", str(out), "--decode"]
    assert main(arguments) == 0
    again = write_scenes(tmp_path / "again", 2, "mine")
    assert again.read_bytes() == file.read_bytes()
    folders = (ImageFolder(out), ImageFolder(again.parent))
    pictures = [folder.open(first.images[0]).tobytes() for folder in folders]
    assert pictures[0] == pictures[1]
    other = write_scenes(tmp_path / "other", 1, "mine", "heldout")
    assert next(read_records(other)).split == "heldout"


def test_unpickle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row: dict[str, Any] = {"uid": "u", "image": "a.png", "prompt": "q", "text": "a"}
    row |= {"sink_attn": np.zeros((2, 2), "f4"), "grounding_attn_o2i": np.ones((2, 2), "f4")}
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps([row]))
    assert main(["data", "unpickle", str(path), "--out", str(tmp_path / "out")]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 1
    assert (tmp_path / "out" / "shard-00000.jsonl").is_file()
    path.write_bytes(pickle.dumps(os.getcwd))
    assert main(["data", "unpickle", str(path), "--out", str(tmp_path / "bad")]) == 2
    assert "global 'posix' 'getcwd' is refused" in capsys.readouterr().err
    assert not (tmp_path / "bad").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data"], "required: WHAT"),
        (["data", "check"], "required: FILE"),
        (["data", "check", "gone.jsonl"], "no file at 'gone.jsonl'"),
        (["data", "check", "{here}", "--decode"], "give --images"),
        (["data", "check", "{here}", "--max-bad", "-1"], "at least 0"),
        (["data", "convert", "lava", "x", "--images", ".", "--out", "o"], "invalid choice: 'lava'"),
        (["data", "convert", "llava"], "required: INPUT, --images, --out"),
        (["data", "convert", "llava", "gone.json", "--images", ".", "--out", "{tmp}/o"],
         "gone.json cannot be read"),
        (["data", "convert", "llava", "x", "--images", "{tmp}/none", "--out", "{tmp}/o"],
         "no image folder at"),
        (["data", "convert", "llava", "x", "--images", ".", "--out", "o", "--map", "a"],
         "must be OLD=NEW, got 'a'"),
        (["data", "convert", "textvqa", "x", "--images", ".", "--out", "{tmp}/o", "--only", "a"],
         "takes no option 'only'"),
        (["data", "synth", "--scenes", "0", "--out", "x"], "at least 1"),
        (["data", "unpickle", "gone.pkl", "--out", "x"], "no file at 'gone.pkl'"),
    ],
)  # fmt: skip
def test_bad_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    filled = [text.format(here=__file__, tmp=tmp_path) for text in arguments]
    assert main(filled) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_help_loads_no_libraries() -> None:
    code = (
        "import sys; from qzoom.cli import main; main(['data', 'convert', '--help']);"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "visual_cot" in found.stdout
    loaded = set(found.stdout.splitlines()[-1].split())
    assert not loaded & {"torch", "numpy", "PIL", "pyarrow", "safetensors", "transformers"}


def test_names_in_a_file_do_not_reach_the_terminal_as_codes(
    records: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (first, *_) = read_records(records)
    write_records(records, [Record(**vars(first) | {"dataset": "d\x1b[2J", "licence": "\x9b31m"})])
    for option in ([], ["--json"]):
        assert main(["data", "check", str(records), *option]) == 0
        out = capsys.readouterr().out
        assert "\x1b" not in out
        assert "\x9b" not in out
