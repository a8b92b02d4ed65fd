"""What known answer boxes teach: cells for the region network, crops for the trunk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from qzoom.cli import main
from qzoom.data.jsonl import write_records
from qzoom.data.records import Record, Turn
from qzoom.geometry.boxes import contains
from qzoom.labels.store import read_labels
from qzoom.train.label_index import LabelIndex
from qzoom.train.sft_samples import read_samples

BOX = (300.0, 40.0, 340.0, 60.0)


@pytest.fixture
def records(tmp_path: Path) -> Path:
    Image.new("RGB", (512, 512)).save(tmp_path / "a.png")
    turns = (
        Turn("where?", ("here",), (BOX,)),
        Turn("outside?", ("no",), ((600.0, 0.0, 700.0, 9.0),)),
        Turn("unknown?", ("yes",)),
        Turn("long?", ("x" * 40,), (BOX,)),
    )
    kept = Record("r", ("a.png",), turns, "mine", "textual", "private", "us")
    gone = Record("s", ("gone.png",), turns[:1], "mine", "textual", "private", "us")
    write_records(tmp_path / "records.jsonl", [kept, gone])
    return tmp_path / "records.jsonl"


def run(records: Path, *arguments: str) -> int:
    kind, *others = arguments
    return main(["label", kind, str(records), "--images", str(records.parent), *others])


def test_touched_cells_are_foreground_and_all_others_background(
    records: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = records.parent / "labels"
    assert run(records, "boxes", "--out", str(out), "--cells", "64") == 0
    counts = json.loads(capsys.readouterr().out)
    assert counts == {"labelled": 3, "without_box": 1, "bad_images": 1}
    first, outside, _ = read_labels(out)
    wanted = torch.zeros(8, 8, dtype=torch.int8)
    wanted[0, 4:6] = 1
    assert torch.equal(first.tensors["labels"], wanted)
    assert not outside.fields["teaches"]
    index = LabelIndex.open(out)
    assert (index.turns, index.settings.layout, index.settings.cells) == (2, "native", 64)


def test_crops_hold_the_answer_and_differ(
    records: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = records.parent / "samples.jsonl"
    arguments = ["--crops", "5", "--full", "1", "--full-cells", "256"]
    assert run(records, "taught", "--out", str(out), *arguments) == 0
    samples = read_samples([out])
    counts = json.loads(capsys.readouterr().out)
    assert counts == {"samples": len(samples), "questions": 3, "bad_images": 1}
    crops = [sample.crop_px_xyxy for sample in samples if sample.crop_px_xyxy]
    assert len(crops) == 5
    assert len(set(crops)) > 1
    assert all(contains(crop, BOX) for crop in crops)
    assert all(edge % 64 == 0 for crop in crops for edge in crop)
    whole = [sample for sample in samples if sample.crop_px_xyxy is None]
    assert {sample.cells for sample in whole} == {256}
    assert "x" * 40 not in {sample.target for sample in samples}
    before = out.read_bytes()
    assert run(records, "taught", "--out", str(out), *arguments) == 0
    assert out.read_bytes() == before


def test_a_folder_of_other_questions_is_refused(
    records: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(records.parent / "labels")
    assert run(records, "boxes", "--out", out, "--cells", "64") == 0
    whole = records.read_text()
    records.write_text(whole.replace('"id": "r"', '"id": "other"'))
    assert run(records, "boxes", "--out", out, "--cells", "64") == 2
    assert "holds 3 questions from ['r#0']" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["boxes", "taught"])
def test_too_many_bad_pictures_stop_the_labelling(
    records: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    turns = (Turn("where?", ("here",), (BOX,)),)
    gone = [Record(f"g{n}", ("gone.png",), turns, "m", "textual", "p", "us") for n in range(3)]
    write_records(records, gone)
    out = records.parent / "out"
    assert run(records, kind, "--out", str(out), "--most-bad", "0.02") == 2
    said = capsys.readouterr().err
    assert "3 of 3 pictures are bad (limit 2%), such as: no image 'gone.png'" in said
    assert not list(records.parent.glob("out*.jsonl"))
    assert not list(out.glob("shard-*"))
    assert run(records, kind, "--out", str(records.parent / "all")) == 0
    assert json.loads(capsys.readouterr().out)["bad_images"] == 3
