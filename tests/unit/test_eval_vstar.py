"""V* in its three layouts, from files as they are published to their scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.published import parquet, tsv
from tests.unit.mcq_parts import (
    SIZE_PX,
    cell_picture,
    picture,
    run,
    samples,
    text_picture,
    write_lines,
)

from qzoom.cli import main
from qzoom.errors import DataError

LETTER = "Answer with the option's letter from the given choices directly."
PLEASE = "Please select the correct answer from the options above. \n"


def vstar_rows() -> list[dict[str, Any]]:
    glove = f"What is it made of?\n(A) rubber\n(B) black wool (old)\n(C) silk\n(D) tin\n{LETTER}"
    side = f"Where is the cat? (A) left (B) right\n{LETTER}"
    return [
        {"text": glove, "category": "direct_attributes", "label": "A", "question_id": "0"},
        {"text": side, "category": "relative_position", "label": "B", "question_id": "1"},
    ]


def vstar_mirror(folder: Path) -> Path:
    rows = [{"image": cell_picture(i), **row} for i, row in enumerate(vstar_rows())]
    parquet(folder / "data" / "test-00000-of-00001.parquet", rows)
    return folder


def vstar_original(folder: Path, bbox: Any = ((5, 6, 10, 8), (30, 20, 50, 50))) -> Path:
    rows = []
    for number, row in enumerate(vstar_rows()):
        name = f"{row['category']}/sa_{number}.png"
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(picture(number))
        beside = {"target_object": ["it"], "bbox": bbox, "options": ["right", "wrong"]}
        (folder / name).with_suffix(".json").write_text(json.dumps(beside))
        rows.append({"image": name, **row})
    write_lines(folder / "test_questions.jsonl", rows)
    return folder


def test_vstar_of_the_mirror(tmp_path: Path) -> None:
    data = vstar_mirror(tmp_path / "vstar")
    ran = run("vstar", data, tmp_path, ["A.", "BLACK"])
    # The second text goes astray: an option with a parenthesis is lost, and the data's own
    # instruction stays part of the last option.
    assert ran.fake.prompts == [
        f"What is it made of?\nA. rubber\nB. silk\nC. tin\n{LETTER}\n{LETTER}",
        f"Where is the cat?\nA. left\nB. right\n{LETTER}\n{LETTER}",
    ]
    assert [row.score for row in ran.rows] == [1.0, 1.0]
    assert [row.max_new_tokens for row in ran.rows] == [16, 16]
    assert len({row.image_key for row in ran.rows}) == 2
    assert ran.scores == {"overall": 100, "direct_attributes": 100, "relative_position": 100}


def test_vstar_strict_and_vlmevalkit(tmp_path: Path) -> None:
    data = vstar_mirror(tmp_path / "vstar")
    strict = run("vstar", data, tmp_path, ["rubber", "BLACK"], "strict")
    assert strict.fake.prompts[0] == (
        f"What is it made of?\nA. rubber\nB. black wool (old)\nC. silk\nD. tin\n{LETTER}"
    )
    assert strict.scores == {"overall": 0.5, "direct_attributes": 1, "relative_position": 0}
    kit = run("vstar", data, tmp_path, ["It is tin", "right"], "vlmevalkit")
    assert kit.fake.prompts[1] == (
        f"Question: Where is the cat?\nOptions:\nA. left\nB. right\n{PLEASE}"
    )
    assert kit.scores == {"overall": 0.5, "direct_attributes": 0, "relative_position": 1}


def test_vstar_of_the_original_folder_knows_its_targets(tmp_path: Path) -> None:
    data = vstar_original(tmp_path / "vstar")
    ran = run("vstar", data, tmp_path, ["A", "A"])
    # Width and height become edges, and what is outside the picture is cut off.
    assert ran.fake.boxes[0] == ((5, 6, 15, 14), (30, 20, *SIZE_PX))
    assert [row.image_key for row in ran.rows] == [
        "direct_attributes/sa_0.png",
        "relative_position/sa_1.png",
    ]
    assert ran.fake.sizes_px == [SIZE_PX, SIZE_PX]
    assert ran.scores["overall"] == 50


def test_vstar_of_vlmevalkit(tmp_path: Path) -> None:
    row = {"index": 7, "image": text_picture(), "question": "Where?", "A": "left", "B": "right"}
    row |= {"C": "", "answer": "B", "category": "relative_position"}
    tsv(tmp_path / "VStarBench.tsv", [row])
    ran = run("vstar", tmp_path, tmp_path, ["Because it is right"])
    assert ran.fake.prompts == [f"Where?\nA. left\nB. right\n{LETTER}"]
    assert ran.rows[0].sample == "7"
    assert ran.rows[0].gold["options"] == {"A": "left", "B": "right"}
    assert ran.rows[0].score == 1  # its first letter is B


@pytest.mark.parametrize(
    ("bbox", "says"),
    [
        ([[40, 0, 5, 5]], "nothing of it is inside the picture of 40x30 px"),
        ([[-9, 2, 9, 9]], "nothing of it is inside"),
        ([[1, 1, 0, 5]], "nothing of it is inside"),
        ([[1, 1, 5]], "must have 4 numbers"),
        ([[1, 1, 5, "x"]], "must be a finite number"),
        ("left", "bbox must be a list"),
    ],
)
def test_vstar_boxes_that_cannot_be_are_named(tmp_path: Path, bbox: Any, says: str) -> None:
    data = vstar_original(tmp_path / "vstar", bbox)
    with pytest.raises(DataError, match=r"sa_0\.json: .*") as caught:
        samples("vstar", data)
    assert says in str(caught.value)
    assert "test_questions.jsonl:1" in str(caught.value)


def test_vstar_without_a_picture_or_with_a_damaged_file_beside_it(tmp_path: Path) -> None:
    data = vstar_original(tmp_path / "vstar")
    (data / "direct_attributes" / "sa_0.png").write_bytes(b"no picture")
    assert samples("vstar", data)[0].boxes_px_xyxy == ()  # whoever decodes it says so
    (data / "relative_position" / "sa_1.json").write_text("{")
    with pytest.raises(DataError, match=r"sa_1\.json: the file is no JSON"):
        samples("vstar", data)


def test_the_command_answers_the_first_questions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = vstar_original(tmp_path / "vstar")
    out = tmp_path / "rows.jsonl"
    arguments = ["eval", "run", "vstar", "--data", str(data), "--out", str(out), "--limit", "1"]
    assert main([*arguments, "--json", "--scoring", "strict", "--threads", "1"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["benchmark"], summary["samples"]) == ("vstar", 1)
    assert list(summary["scores"]) == ["overall", "direct_attributes"]
    assert len(out.read_text().splitlines()) == 1
    rest = [*arguments[:-2], "--json", "--scoring", "strict", "--threads", "1"]
    for again, number in ((rest, 2), ([*rest, "--limit", "1"], 1)):
        assert main(again) == 0
        assert json.loads(capsys.readouterr().out)["samples"] == number
    assert len(out.read_text().splitlines()) == 2
