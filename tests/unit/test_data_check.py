"""Reports on files of records, and conversions with limits, samples and bad rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qzoom.data.check import check_records
from qzoom.data.convert import convert
from qzoom.data.jsonl import read_records, write_records
from qzoom.data.readers.options import ReadOptions
from qzoom.data.readers.registry import reader
from qzoom.data.records import Mode, Record, Turn, to_json
from qzoom.errors import DataError


def record(name: str, image: str, mode: Mode = "textual", *turns: Turn) -> Record:
    found = turns or (Turn("What?", ("owl",)),)
    return Record(name, (image,), found, "d", mode, "CC0-1.0", "here")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    root.mkdir()
    Image.new("RGB", (20, 10)).save(root / "a.png")
    (root / "broken.png").write_bytes((root / "a.png").read_bytes()[:40])
    (tmp_path / "out.png").write_bytes(b"x")
    (root / "link.png").symlink_to(tmp_path / "out.png")
    return root


def test_a_clean_file(tmp_path: Path, images: Path) -> None:
    boxed = Turn("Where?", (), ((0, 0, 20, 10),))
    records = [record("1", "a.png"), record("2", "a.png", "natural", boxed, boxed)]
    write_records(tmp_path / "r.jsonl", records)
    report = check_records(tmp_path / "r.jsonl", images, decode=True)
    assert report.problems == 0
    assert (report.records, report.turns, report.answered, report.boxes) == (2, 3, 1, 2)
    assert report.images == 1
    content = report.to_json()
    assert content["by_mode"] == {"natural": 1, "textual": 1}
    assert content["by_dataset"] == {"d": 2}
    assert content["by_licence"] == {"CC0-1.0": 2}
    json.dumps(content, allow_nan=False)


def test_every_kind_of_problem(tmp_path: Path, images: Path) -> None:
    path = tmp_path / "r.jsonl"
    far = Turn("Where?", ("x",), ((5, 5, 21, 9), (0, 0, 1, 1)))
    write_records(
        path,
        [
            record("1", "a.png"), record("1", "gone.png"), record("2", "broken.png"),
            record("3", "link.png"), record("4", "a.png", "textual", far), record("5", "gone.png"),
        ],
    )  # fmt: skip
    with path.open("ab") as file:
        file.write(b'{"schema": 1}\nnot json\n{"schema": 1, "id": ')
    report = check_records(path, images, decode=True)
    counts = {name: found.count for name, found in report.findings.items()}
    assert counts == {
        "bad_rows": 3, "duplicate_ids": 1, "missing_images": 1, "refused_images": 1,
        "undecodable_images": 1, "boxes_outside": 1,
    }  # fmt: skip
    assert report.problems == 8
    assert report.records == 6
    first = {name: found.first[0] for name, found in report.findings.items()}
    assert first["bad_rows"] == f"{path}:7: 'turns' is missing"
    assert "cut short" in report.bad_rows.first[2]
    assert first["duplicate_ids"] == f"{path}:2: id '1' is there before"
    assert first["missing_images"].startswith(f"{path}:2: gone.png: no image")
    assert "leads out of" in first["refused_images"]
    assert first["undecodable_images"].startswith(f"{path}:3: broken.png: ")
    assert "box 5, 5, 21, 9 leaves the image of 20x10 px" in first["boxes_outside"]


def test_without_decoding_and_without_images(tmp_path: Path, images: Path) -> None:
    path = tmp_path / "r.jsonl"
    write_records(path, [record("1", "broken.png"), record("2", "gone.png")])
    report = check_records(path, images)
    assert (report.problems, report.missing_images.count) == (1, 1)
    report = check_records(path)
    assert (report.problems, report.images_looked_for) == (0, False)
    with pytest.raises(DataError, match="give --images"):
        check_records(path, decode=True)
    with pytest.raises(DataError, match="no image folder"):
        check_records(path, tmp_path / "gone")


def test_only_the_first_problems_are_named(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text("{}\n" * 100)
    report = check_records(path)
    assert (report.bad_rows.count, len(report.bad_rows.first)) == (100, 5)


def rows(tmp_path: Path, count: int, bad: tuple[int, ...] = ()) -> Path:
    content: list[Any] = [
        {"imgname": f"{i}.png", "query": "" if i in bad else f"q{i}", "label": "1"}
        for i in range(count)
    ]
    path = tmp_path / "train" / "train_human.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def run(tmp_path: Path, path: Path, **options: Any) -> tuple[Any, list[str]]:
    out = tmp_path / "out.jsonl"
    report = convert(reader("chartqa"), [path], ReadOptions(tmp_path), out, **options)
    return report, [found.turns[0].question for found in read_records(out)]


def test_a_conversion(tmp_path: Path) -> None:
    path = rows(tmp_path, 7)
    (path.parent / "png").mkdir()
    (path.parent / "png" / "0.png").write_bytes(b"x")
    report, questions = run(tmp_path, path)
    assert questions == [f"q{i}" for i in range(7)]
    assert (report.records, report.turns, report.bad_rows) == (7, 7, 0)
    assert (report.missing_images, len(report.first_missing_images)) == (6, 5)
    assert report.first_missing_images[0] == "train/png/1.png"
    assert report.to_json()["by_dataset"] == {"chartqa": 7}


def test_limits_and_samples(tmp_path: Path) -> None:
    path = rows(tmp_path, 50)
    assert run(tmp_path, path, limit=3)[1] == ["q0", "q1", "q2"]
    drawn = run(tmp_path, path, limit=10, seed="a")[1]
    assert len(set(drawn)) == 10
    assert drawn == sorted(drawn, key=lambda text: int(text[1:]))
    assert drawn == run(tmp_path, path, limit=10, seed="a")[1]
    assert drawn != run(tmp_path, path, limit=10, seed="b")[1]
    assert len(run(tmp_path, path, limit=100, seed="a")[1]) == 50
    with pytest.raises(DataError, match="--limit"):
        run(tmp_path, path, seed="a")


def test_bad_rows_stop_a_conversion_unless_allowed(tmp_path: Path) -> None:
    path = rows(tmp_path, 6, bad=(1, 4))
    for allowed in (0, 1):
        with pytest.raises(DataError, match=f"bad row {allowed + 1} where {allowed} are allowed"):
            run(tmp_path, path, max_bad=allowed)
        assert not (tmp_path / "out.jsonl").exists()
    report, questions = run(tmp_path, path, max_bad=2)
    assert questions == ["q0", "q2", "q3", "q5"]
    assert report.bad_rows == 2
    assert report.first_bad_rows[0] == f"{path}[1]: question is empty"


def test_nothing_to_convert_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no record was found"):
        run(tmp_path, rows(tmp_path, 0))
    assert not (tmp_path / "out.jsonl").exists()
    assert to_json(record("1", "a.png"))["schema"] == 1
