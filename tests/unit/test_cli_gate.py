"""`qzoom label gate`, `train gate`, `calibrate` and `ask --effort`, one after the other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.tiny_chat import ANY_REGION, chat_checkpoint, picture

import qzoom
from qzoom.checkpoints.save import save_checkpoint
from qzoom.cli import main
from qzoom.data.jsonl import RecordFile
from qzoom.labels.answerers import ModelAnswerer
from qzoom.labels.gate_rows import read_gate_rows

QUESTIONS = ("what?", "which word is on the red sign?", "how many signs are there?")


def record(number: int, answers: list[str]) -> str:
    turns = [{"question": text, "answers": answers} for text in QUESTIONS]
    row = {
        "schema": 1, "id": str(number), "images": [f"{number}.png"], "turns": turns,
        "dataset": "toy", "mode": "textual", "licence": "none", "source": "here",
    }  # fmt: skip
    return json.dumps(row) + "\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model that zooms anywhere, four pictures, and records of what it says about them."""
    root = tmp_path_factory.mktemp("gate")
    model = qzoom.ZoomModel(chat_checkpoint("qwen3_vl", eos=None, **ANY_REGION))
    save_checkpoint(root / "model", model.checkpoint)
    for number in range(4):
        picture(220 + 20 * number, 200, seed=number).save(root / f"{number}.png")
    # Half of what it says directly and half of what it says zoomed is held to be right.
    lines = []
    for number in range(4):
        session = model.open(root / f"{number}.png")
        zoom = "never" if number % 2 else "always"
        said = [session.ask(text, zoom=zoom, max_new_tokens=2).text for text in QUESTIONS]
        lines.append(record(number, said))
    (root / "records.jsonl").write_text("".join(lines))
    (root / "r.yaml").write_text("batch_size: 4\nbf16: false\n")
    return root


def arguments(folder: Path, *verb: str) -> list[str]:
    records = [f"{folder}/records.jsonl"] if verb != ("train", "gate") else []
    return [*verb, *records, "--images", f"{folder}", "--model", f"{folder}/model"]


def test_from_records_to_an_effort(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--max-new-tokens", "2", "--batch-size", "4"]
    label = [*arguments(folder, "label", "gate"), *asked]
    rising = [*label, "--out", f"{tmp_path}/naive", "--kind", "naive", "--cells"]
    assert main([*rising, "16", "25", "36", "64"]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert sum(counts.values()) == 2 * 12
    assert main([*label, "--out", f"{tmp_path}/fix", "--kind", "crop-fix"]) == 0
    out, err = capsys.readouterr()
    counts = json.loads(out)
    assert counts["easy"] >= 6
    assert counts["hard"] >= 1
    assert "answers zoomed: 12/12 questions (0 min left)" in err
    rows = list(read_gate_rows(tmp_path / "fix/gate.jsonl"))
    assert len(rows) == counts["easy"] + counts["hard"]
    summary = json.loads((tmp_path / "fix/summary.json").read_text())
    assert summary["outcomes"] == counts
    assert summary["settings"]["cells"] == [16, 64]

    train = [*arguments(folder, "train", "gate"), "--recipe", f"{folder}/r.yaml"]
    files = ["--labels", f"{tmp_path}/fix/gate.jsonl", "--labels", f"{tmp_path}/naive/gate.jsonl"]
    assert main([*train, *files, "--workers", "0", "--out", f"{tmp_path}/run"]) == 0
    adapter = capsys.readouterr().out.strip()

    calibrate = [*arguments(folder, "calibrate"), *asked, "--out", f"{tmp_path}/calibrated"]
    assert main([*calibrate, "--adapter", adapter]) == 0
    *table, saved = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in table[2:]] == ["never", "low", "medium", "high", "always"]
    report = json.loads((tmp_path / "calibrated/report.json").read_text())
    points = report["operating_points"]
    stored = qzoom.load(folder / "model", adapter=saved).config.effort_thresholds
    assert stored == {level: points[level]["threshold"] for level in ("low", "medium", "high")}
    ask = ["ask", f"{folder}/0.png", "what?", "--model", f"{folder}/model", "--adapter", saved]
    assert main([*ask, "--effort", "low", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["zoomed"] == (answer["gate_probability"] >= stored["low"])

    # Without an adapter the whole model is written again.
    calibrate[-1] = f"{tmp_path}/whole"
    assert main([*calibrate, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    model = qzoom.load(report["saved"])
    assert list(model.config.effort_thresholds) == ["low", "medium", "high"]
    assert model.open(picture()).ask("what?", effort="high", max_new_tokens=1).gate_probability


def test_a_stopped_labelling_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [*arguments(folder, "label", "gate"), "--max-new-tokens", "1", "--batch-size", "4"]
    command += ["--cells", "16", "25", "36", "--kind", "naive", "--out"]
    assert main([*command, f"{tmp_path}/whole"]) == 0
    calls = 0

    def stopping(self: ModelAnswerer, batch: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt
        return answer(self, batch)  # type: ignore[arg-type]

    answer = ModelAnswerer.__call__
    monkeypatch.setattr(ModelAnswerer, "__call__", stopping)
    assert main([*command, f"{tmp_path}/parts"]) == 130
    assert not (tmp_path / "parts/gate.jsonl").exists()
    assert main([*command, f"{tmp_path}/parts"]) == 0
    assert calls == 9 + 1
    for name in ("gate.jsonl", "answers-00025.jsonl", "summary.json"):
        assert (tmp_path / "parts" / name).read_text() == (tmp_path / "whole" / name).read_text()


@pytest.mark.parametrize(
    ("verb", "options", "message"),
    [
        ("label gate", ["--cells", "16", "25"], "2 resolutions are given and the 2 highest must"),
        ("label gate", ["--cells", "16", "16", "25"], "hold one twice"),
        ("label gate", ["--cells", "0"], "must be a whole number of at least 1"),
        ("label gate", ["--kind", "crop-fix", "--cells", "16"], "--cells has no effect"),
        ("label gate", ["--max-cells", "16"], "--max-cells has no effect with --kind consist"),
        ("label gate", ["--kind", "best"], "invalid choice: 'best'"),
        ("label gate", ["--rule", "loose"], "invalid choice: 'loose'"),
        ("label gate", ["--out", "{folder}/r.yaml"], "is a file; name a folder"),
        ("calibrate", ["--out", "{folder}/r.yaml"], "is a file; name a folder"),
        ("calibrate", ["--most-bad", "2"], "must be a number from 0 to 1"),
        ("calibrate", ["--adapter", "{folder}"], r"holds no adapter.json"),
        ("calibrate", ["--limit", "1", "--max-new-tokens", "1"], "calibration needs both kinds"),
        ("train gate", ["--labels", "{folder}/gone.jsonl"], "no file at"),
        (
            "train gate",
            ["--labels", "{folder}/records.jsonl"],
            "records.jsonl:1: 'kind' is missing",
        ),
        ("train gate", [], "the following arguments are required: --labels"),
    ],
)
def test_what_cannot_be_done_says_so(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    verb: str,
    options: list[str],
    message: str,
) -> None:
    filled = [option.format(folder=folder) for option in options]
    out = ["--out", f"{tmp_path}/out"]
    assert main([*arguments(folder, *verb.split()), *out, *filled]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.splitlines()[-1].startswith("qzoom: ")


def test_a_model_without_a_gate_cannot_be_calibrated(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint(tmp_path / "model", chat_checkpoint("qwen3_vl", gate=False))
    assert sum(1 for _ in RecordFile(folder / "records.jsonl")) == 4
    command = ["calibrate", f"{folder}/records.jsonl", "--images", f"{folder}"]
    assert main([*command, "--model", f"{tmp_path}/model", "--out", f"{tmp_path}/out"]) == 2
    assert "has no gate to calibrate; train one with 'qzoom train gate'" in capsys.readouterr().err
