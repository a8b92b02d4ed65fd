"""Multiple-choice benchmarks, from files as they are published to their scores."""

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
    write_lines,
)

from qzoom.errors import DataError

LETTER = "Answer with the option's letter from the given choices directly."
PLEASE = "Please select the correct answer from the options above. \n"


def hrbench_rows(questions: int = 2) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    texts = ["red", "blue", "green", "pink"]
    for number in range(questions):
        for turn in range(4):
            rotated = texts[turn:] + texts[:turn]
            row = {"index": len(rows), "image": text_picture(number), "question": "Which? "}
            row |= dict(zip("ABCD", rotated, strict=True))
            row |= {"answer": "ABCD"[rotated.index("red")], "cycle_category": f"cycle_{turn}"}
            rows.append(row | {"category": ("single", "cross")[number]})
    return rows


def test_hrbench_rotations(tmp_path: Path) -> None:
    """Right letters are A, D, C, B; the first question is right in all, the second in two."""
    parquet(tmp_path / "hr_bench_4k.parquet", hrbench_rows())
    parquet(tmp_path / "hr_bench_8k.parquet", hrbench_rows(1))
    says = ["A", "(D)", "C. red", "red", "A", "D", "the answer is c", "I say D"]
    ran = run("hrbench4k", tmp_path, tmp_path, says)
    assert ran.fake.prompts[1] == (
        "Which?\nA. blue\nB. green\nC. pink\nD. red\nAnswer the option letter directly."
    )
    assert {row.max_new_tokens for row in ran.rows} == {128}
    assert [row.score for row in ran.rows] == [1, 1, 1, 1, 1, 1, 0, 0]
    # Rotations 0 and 1 are 1, rotations 2 and 3 are 1/2; one reply names nothing.
    assert ran.scores == {"average": 0.75, "cross": 0.5, "single": 1, "unmatched": 0.125}
    keys = [row.image_key for row in ran.rows]
    assert len(set(keys[:4])) == len(set(keys[4:])) == 1
    assert keys[0] != keys[4]

    strict = run("hrbench4k", tmp_path, tmp_path, says, "strict")
    assert [row.score for row in strict.rows] == [1, 1, 1, 1, 1, 1, 1, 0]
    assert strict.scores == {
        "average": 0.875,
        "cross": 0.75,
        "single": 1,
        "circular": 0.5,
        "unmatched": 0.125,
    }
    assert len(samples("hrbench8k", tmp_path)) == 4


def test_hrbench_of_vlmevalkit_and_of_a_part(tmp_path: Path) -> None:
    rows = hrbench_rows()[:5]
    for row in rows[1:4]:
        row["image"] = 0  # the picture is written once
    tsv(tmp_path / "hr_bench_4k.tsv", rows)
    kit = run("hrbench4k", tmp_path, tmp_path, ["A", "D", "?", "B", "Best: A"], "vlmevalkit")
    assert kit.fake.prompts[0].startswith("Question: Which? \nOptions:\nA. red\n")
    assert kit.fake.prompts[0].endswith(PLEASE)
    assert len({row.image_key for row in kit.rows[:4]}) == 1
    assert kit.scores == {
        "average": 0.75,
        "cross": 0.25,  # of four rotations, although only one has such a question
        "single": 0.75,
        "cycle_0": 1,
        "cycle_1": 1,
        "cycle_2": 0,
        "cycle_3": 1,
        "unmatched": 0.2,
    }
    mine = run("hrbench4k", tmp_path, tmp_path, ["A", "D", "?", "B", "B"])
    assert mine.scores["cross"] == 0
    strict = run("hrbench4k", tmp_path, tmp_path, ["A", "D", "C", "B", "B"], "strict")
    assert strict.scores["circular"] == 1  # of the only question that is whole
    assert strict.scores["cross"] == 0


def realworld_row(**changed: Any) -> dict[str, Any]:
    choices = [f"({letter}) {text}" for letter, text in zip("ABCDE", "12345", strict=True)]
    row = {"index": "x/0", "bytes": text_picture(), "question": "How many?"}
    row |= {"multi-choice options": choices, "answer": "C", "l2-category": "count"}
    return row | {"category": "Perception/OCR with Complex Context"} | changed


def test_mmerealworld(tmp_path: Path) -> None:
    rows = [realworld_row(), realworld_row(index="x/1", category="Reasoning/Monitoring")]
    rows.append(realworld_row(index="x/2", answer="A", category="Reasoning/Monitoring"))
    parquet(tmp_path / "data" / "train-00000-of-00001.parquet", rows)
    ran = run("mmerealworld_lite", tmp_path, tmp_path, ["Best answer: C", "no idea", ""])
    ask = (
        "Select the best answer to the above multiple-choice question based on the image. Respond "
        "with only the letter (A, B, C, D, or E) of the correct option."
    )
    listed = "How many? The choices are listed below:\n(A) 1\n(B) 2\n(C) 3\n(D) 4\n(E) 5\n"
    assert ran.fake.prompts[0] == f"{listed}{ask}\nThe best answer is: "
    assert [row.score for row in ran.rows] == [1, 0, 1]
    assert ran.scores == {
        "overall": pytest.approx(2 / 3, abs=1e-4),
        "Perception/OCR with Complex Context": 1,
        "Reasoning/Monitoring": 0.5,
        "Perception": 1,
        "Reasoning": 0.5,
    }
    kit = run("mmerealworld_lite", tmp_path, tmp_path, ["Best answer: C", "C", "A"], "vlmevalkit")
    assert kit.fake.prompts[0] == f"{listed}{ask} \nThe best answer is:"
    assert [row.score for row in kit.rows] == [0, 1, 1]  # the B of "Best"
    strict = run("mmerealworld_lite", tmp_path, tmp_path, ["3", "Cat", ""], "strict")
    assert [row.score for row in strict.rows] == [1, 0, 0]


def test_mmerealworld_of_vlmevalkit(tmp_path: Path) -> None:
    row = realworld_row()
    row["image"] = row.pop("bytes")
    written = str(row["multi-choice options"])
    joined = "The choices are listed below:\n" + "\n".join(row["multi-choice options"])
    rows = [row | {"index": i, "multi-choice options": o} for i, o in enumerate([written, joined])]
    tsv(tmp_path / "mme_realworld_lite.tsv", rows)
    first, second = samples("mmerealworld_lite", tmp_path)
    assert first.options == second.options == dict(zip("ABCDE", "12345", strict=True))
    assert first.extra == second.extra


def mmstar_rows() -> list[dict[str, Any]]:
    inline = "What is it? Please answer yes or no.\nOptions: A: a cat, B: a dog, red, C: tea"
    rows = [{"index": i, "question": inline, "answer": "B", "category": "math"} for i in range(4)]
    parts = ["geometry", "geometry", "geometry", "statistical reasoning"]
    return [
        row | {"l2_category": part, "image": cell_picture()}
        for row, part in zip(rows, parts, strict=True)
    ]


def test_mmstar_weighs_parts_or_questions(tmp_path: Path) -> None:
    parquet(tmp_path / "mmstar.parquet", mmstar_rows())
    says = ["B", "B.", "The answer is (B)", "C"]
    ran = run("mmstar", tmp_path, tmp_path, says)
    assert ran.fake.prompts[0] == (
        f"What is it?\nOptions: A: a cat, B: a dog, red, C: tea\n{LETTER[:-1]}"
    )
    assert ran.scores == {"average": 0.5, "math": 0.5}  # means of the parts: 1 and 0
    kit = run("mmstar", tmp_path, tmp_path, says, "vlmevalkit")
    assert kit.scores == {"overall": 0.75, "math": 0.75}
    assert kit.fake.prompts[0] == (
        "Question: What is it? Please answer yes or no.\n"
        f"Options:\nA. a cat\nB. a dog, red\nC. tea\n{PLEASE}"
    )
    strict = run("mmstar", tmp_path, tmp_path, ["a dog, red", "b", "dog", "BAD"], "strict")
    assert [row.score for row in strict.rows] == [1, 1, 0, 0]
    assert len({row.image_key for row in strict.rows}) == 1


def test_mmstar_of_vlmevalkit_asks_the_same(tmp_path: Path) -> None:
    row = {"index": 0, "image": text_picture(), "question": "What?", "A": "cat", "B": "dog"}
    row |= {"answer": "B", "category": "math", "l2_category": "geometry"}
    tsv(tmp_path / "MMStar.tsv", [row])
    ran = run("mmstar", tmp_path, tmp_path, ["A dog"], "strict")
    assert ran.fake.prompts == [f"What?\nOptions: A: cat, B: dog\n{LETTER}"]
    assert ran.rows[0].score == 0


def test_mmstar_question_whose_options_cannot_be_told_apart(tmp_path: Path) -> None:
    row = mmstar_rows()[0] | {"question": "Which of the four in the picture?"}
    parquet(tmp_path / "mmstar.parquet", [row])
    for scoring in ("lmms-eval", "vlmevalkit", "strict"):
        ran = run("mmstar", tmp_path, tmp_path, ["(B)"], scoring)  # type: ignore[arg-type]
        assert ran.rows[0].score == 1


def test_missing_option_columns_are_named(tmp_path: Path) -> None:
    row = {k: v for k, v in hrbench_rows(1)[0].items() if k not in "ABCD"}
    tsv(tmp_path / "hr_bench_4k.tsv", [row])
    with pytest.raises(DataError, match=r"hr_bench_4k\.tsv:2: no options: the columns A, B"):
        samples("hrbench4k", tmp_path)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"answer": "E"}, "answer is 'E', the options are A, B, C, D"),
        ({"D": "", "answer": "D"}, "answer is 'D', the options are A, B, C"),
        ({"answer": ""}, "answer is empty"),
        ({"image": "!" * 100}, "is not base64"),
        ({"image": ""}, "no picture in column 'image'"),
        ({"cycle_category": ""}, "cycle_category is empty"),
    ],
)
def test_rows_that_cannot_be_asked_are_named(
    tmp_path: Path, changed: dict[str, Any], says: str
) -> None:
    tsv(tmp_path / "hr_bench_4k.tsv", [hrbench_rows(1)[0] | changed])
    with pytest.raises(DataError, match=r"hr_bench_4k\.tsv:2: ") as caught:
        samples("hrbench4k", tmp_path)
    assert says in str(caught.value)


def test_options_without_letters_are_named(tmp_path: Path) -> None:
    row = realworld_row(**{"multi-choice options": ["1", "2"]})
    parquet(tmp_path / "train.parquet", [row])
    with pytest.raises(DataError, match="the option '1' does not begin with a letter such as"):
        samples("mmerealworld_lite", tmp_path)
    write_lines(tmp_path / "v.jsonl", [{"text": "Where?", "label": "A", "image": text_picture()}])
    with pytest.raises(DataError, match="label is 'A', the options are none"):
        samples("vstar", tmp_path / "v.jsonl")


def test_a_picture_that_is_none_is_counted_by_the_run(tmp_path: Path) -> None:
    rows = hrbench_rows(1)
    rows[2]["image"] = "bm8gcGljdHVyZQ" * 10
    tsv(tmp_path / "hr_bench_4k.tsv", rows)
    with pytest.raises(DataError, match=r"sample 2: .*bad sample 1 where 0 are allowed"):
        run("hrbench4k", tmp_path, tmp_path, ["A"] * 4)


@pytest.mark.parametrize("name", ["hrbench4k", "mmstar", "mmerealworld_lite"])
def test_file_and_row_are_said_once(tmp_path: Path, name: str) -> None:
    path = tmp_path / "rows.jsonl"
    write_lines(path, [{"index": 1, "question": "Which?"}])
    with pytest.raises(DataError) as caught:
        samples(name, path)
    assert str(caught.value).count(f"{path}:1") == 1
