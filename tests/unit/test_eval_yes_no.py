"""MME and POPE, from files as they are published to their scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.published import parquet, tsv
from tests.unit.mcq_parts import (
    cell_picture,
    run,
    samples,
    text_picture,
)

from qzoom.errors import DataError

WORD = "\nAnswer the question using a single word or phrase."


def mme_rows() -> list[dict[str, Any]]:
    """Three pairs, two of them in one category."""
    rows: list[dict[str, Any]] = []
    for shade, (category, name) in enumerate(
        [("OCR", "OCR/0.png"), ("OCR", "OCR/1.png"), ("code_reasoning", "code/0.png")]
    ):
        for answer in ("Yes", "No"):
            row = {"question_id": name, "image": cell_picture(shade), "answer": answer}
            row |= {"question": "Is it 5? Please answer yes or no.", "category": category}
            rows.append(row)
    return rows


def test_mme_pairs(tmp_path: Path) -> None:
    parquet(tmp_path / "data" / "test-00000-of-00002.parquet", mme_rows()[:4])
    parquet(tmp_path / "data" / "test-00001-of-00002.parquet", mme_rows()[4:])
    says = ["Yes", "no.", "Yes, it is", "yes", "y", "Not sure"]
    ran = run("mme", tmp_path, tmp_path, says)
    assert ran.fake.prompts[0] == f"Is it 5?{WORD}"
    assert [row.score for row in ran.rows] == [1, 1, 1, 0, 1, 1]
    # OCR: 3 of 4 questions and 1 of 2 pictures; code: all.
    assert ran.scores == {
        "total": 325,
        "perception": 125,
        "cognition": 200,
        "OCR": 125,
        "code_reasoning": 200,
    }
    assert [row.image_key for row in ran.rows][:3] == ["OCR/0.png", "OCR/0.png", "OCR/1.png"]
    assert len({row.sample for row in ran.rows}) == 6

    kit = run("mme", tmp_path, tmp_path, says, "vlmevalkit")
    assert kit.fake.prompts[0] == "Is it 5? Please answer yes or no."
    assert [row.score for row in kit.rows] == [1, 1, 1, 0, 0, 0]
    assert kit.scores["reasoning"] == 0
    strict = run("mme", tmp_path, tmp_path, says, "strict")
    assert [row.score for row in strict.rows] == [1, 1, 1, 0, 0, 0]
    assert strict.scores["total"] == 125


def test_mme_pictures_without_a_pair_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [row for number, row in enumerate(mme_rows()) if number not in (3, 5)]
    parquet(tmp_path / "test.parquet", rows)
    ran = run("mme", tmp_path, tmp_path, ["Yes", "No", "No", "Yes"])
    assert ran.scores == {
        "total": 200,
        "perception": 200,
        "cognition": 0,
        "OCR": 200,
        "unpaired": 2,
    }
    alone = run("mme", tmp_path, tmp_path / "one", ["Yes"] * 4, "strict")
    assert alone.scores["OCR"] == 50


def test_mme_of_vlmevalkit_pairs_by_path_or_by_picture(tmp_path: Path) -> None:
    rows = [
        {k: v for k, v in row.items() if k != "question_id"}
        | {"index": i, "image": text_picture(i // 2), "image_path": f"p/{i // 2}.png"}
        for i, row in enumerate(mme_rows())
    ]
    tsv(tmp_path / "MME.tsv", rows)
    ran = run("mme", tmp_path, tmp_path, ["yes", "no"] * 3, "vlmevalkit")
    assert ran.scores["total"] == 400
    assert [row.image_key for row in ran.rows][1:3] == ["p/0.png", "p/1.png"]
    for row in rows:
        del row["image_path"]
    tsv(tmp_path / "MME.tsv", rows)
    keys = [sample.image_key for sample in samples("mme", tmp_path)]
    assert keys[0] == keys[1] != keys[2]


def pope_rows() -> list[dict[str, Any]]:
    rows = []
    for category in ("adversarial", "random"):
        for number, answer in enumerate(("yes", "no"), start=1):
            row = {"question_id": str(number), "image_source": "COCO_1", "category": category}
            row |= {"question": "Is there a dog?", "answer": answer, "image": cell_picture()}
            rows.append(row)
    return rows


def test_pope(tmp_path: Path) -> None:
    parquet(tmp_path / "data" / "test-00000-of-00001.parquet", pope_rows())
    # The whole set lies in the folder a second time, by category.
    parquet(tmp_path / "Full" / "random-00000-of-00001.parquet", pope_rows()[2:])
    says = ["Yes.", "No", "yes", "Yes"]
    ran = run("pope", tmp_path, tmp_path, says)
    assert ran.fake.prompts[0] == f"Is there a dog?{WORD}"
    assert {row.max_new_tokens for row in ran.rows} == {128}
    assert {row.image_key for row in ran.rows} == {"COCO_1"}
    assert [row.score for row in ran.rows] == [0, 1, 1, 0]
    # "Yes." is neither: it is wrong, but misses no yes. Its "ratio" is of the right answers.
    assert ran.scores == {
        "accuracy": 0.5,
        "precision": 0.5,
        "recall": 1,
        "f1": pytest.approx(2 / 3, abs=1e-4),
        "yes": 0.5,
    }
    strict = run("pope", tmp_path, tmp_path, says, "strict")
    assert strict.scores == {
        "accuracy": 0.75,
        "precision": pytest.approx(2 / 3, abs=1e-4),
        "recall": 1,
        "f1": 0.8,
        "yes": 0.75,
    }
    silent = run("pope", tmp_path, tmp_path / "silent", ["?", "No", "yes", "no"], "strict")
    assert silent.scores["recall"] == 0.5


def test_pope_of_vlmevalkit_counts_a_question_in_each_category(tmp_path: Path) -> None:
    rows = [
        {"index": 0, "image": text_picture(), "question": "A dog?", "answer": "Yes"},
        {"index": 1, "image": 0, "question": "A cat?", "answer": "No"},
    ]
    categories = ("adversarial,random", "random")
    rows = [row | {"category": each} for row, each in zip(rows, categories, strict=True)]
    tsv(tmp_path / "POPE.tsv", rows)
    ran = run("pope", tmp_path, tmp_path, ["Yes, a dog", "yes"], "vlmevalkit")
    assert ran.fake.prompts == ["A dog?", "A cat?"]
    assert len({row.image_key for row in ran.rows}) == 1
    found = {name: value for name, value in ran.scores.items() if "precision" not in name}
    assert found == {
        "f1": 80,  # three rows: twice right, once a false alarm
        "accuracy": pytest.approx(200 / 3, abs=1e-4),
        "recall": 100,
        "adversarial/f1": 100,
        "adversarial/accuracy": 100,
        "adversarial/recall": 100,
        "random/f1": pytest.approx(200 / 3, abs=1e-4),
        "random/accuracy": 50,
        "random/recall": 100,
    }


def test_an_answer_that_is_neither_is_named(tmp_path: Path) -> None:
    parquet(tmp_path / "test.parquet", [pope_rows()[0] | {"answer": "maybe"}])
    for name in ("pope", "mme"):
        with pytest.raises(DataError, match=r"test\.parquet\[0\]: answer is 'maybe'; it must be"):
            samples(name, tmp_path)
