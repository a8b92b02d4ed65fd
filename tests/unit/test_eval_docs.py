"""DocVQA, InfoVQA, ChartQA, OCRBench and TextVQA from files as published, end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.published import Parrot, base64_of, cell, file, js, parquet, png, tsv

from qzoom.cli import main
from qzoom.errors import DataError
from qzoom.eval.benchmarks.base import Benchmark
from qzoom.eval.benchmarks.registry import benchmark_of
from qzoom.eval.rows import ResultRow, read_results
from qzoom.eval.runner import RunPlan, run_benchmark
from qzoom.eval.samples import Sample, Scoring
from qzoom.eval.summary import summarize

SHORT = "\nAnswer the question using a single word or phrase."
NAMES = ("docvqa", "infovqa", "chartqa", "ocrbench", "textvqa")
FORMULAS = "Handwritten Mathematical Expression Recognition"


def told(
    name: str, data: Path, out: Path, reply: str, scoring: Scoring = "lmms-eval"
) -> tuple[Parrot, list[ResultRow], dict[str, float]]:
    """Everybody who was asked, the rows on disk, and what they come to."""
    benchmark, parrot = benchmark_of(name), Parrot(reply)
    report = run_benchmark(benchmark, data, parrot, out, RunPlan(scoring), {"seed": 0})
    rows = list(read_results(out))
    assert report.answered == len(rows)
    return parrot, rows, summarize(benchmark, rows, scoring)["scores"]


def doc_row(number: int, answers: list[str], **more: Any) -> dict[str, Any]:
    image = cell(number // 2)  # two questions a page
    return {"questionId": str(number), "question": f"Q{number}?", "answers": answers} | {
        "image": image,
        **more,
    }


def hub_docvqa(folder: Path) -> Path:
    """Both configurations in one repository, as the hub has them."""
    first = [doc_row(0, ["abcd"]), doc_row(1, ["zzzz", "AB  XY"])]
    parquet(folder / "DocVQA/validation-00000-of-00002-ab12.parquet", first)
    parquet(folder / "DocVQA/validation-00001-of-00002-cd34.parquet", [doc_row(2, ["zzzz"])])
    parquet(folder / "DocVQA/test-00000-of-00001.parquet", [doc_row(3, ["never"])])
    info = [doc_row(9, ["abxy"], operation=["arithmetic"])]
    parquet(folder / "InfographicVQA/validation-00000-of-00001.parquet", info)
    file(folder / "README.md", b"# a card")
    return folder


def test_docvqa_from_the_hub(tmp_path):
    data = hub_docvqa(tmp_path / "hub")
    parrot, rows, scores = told("docvqa", data, tmp_path / "out.jsonl", "ab xy")
    assert parrot.asked == [(f"Q{n}?{SHORT}", 32) for n in range(3)]
    assert [row.sample for row in rows] == ["0", "1", "2"]
    # 3 edits in 5; equal; all of it.
    assert [row.score for row in rows] == [0, 1, 0]
    assert list(scores.items()) == [("anls", pytest.approx(1 / 3, abs=1e-4))]
    assert rows[0].image_key == rows[1].image_key != rows[2].image_key


def test_infovqa_from_the_hub(tmp_path):
    data = hub_docvqa(tmp_path / "hub")
    _, rows, scores = told("infovqa", data, tmp_path / "out.jsonl", "abxx", "vlmevalkit")
    assert [row.sample for row in rows] == ["9"]
    assert scores == {"Overall": 75.0}


def test_infovqa_as_the_challenge_gives_it(tmp_path):
    row = {"questionId": 5, "question": "How many?", "image_local_name": "5.png", "answers": ["4"]}
    path = js(tmp_path / "val.json", {"dataset_split": "val", "data": [row]})
    file(tmp_path / "infographicsvqa_images/5.png", png())
    _, rows, scores = told("infovqa", path, tmp_path / "out.jsonl", "4")
    assert ([row.sample for row in rows], scores) == (["5"], {"anls": 1.0})


def test_docvqa_as_the_challenge_gives_it(tmp_path):
    row = {"questionId": 5, "question": "How many?", "image": "documents/a.png", "answers": ["4"]}
    path = js(tmp_path / "val_v1.0.json", {"data": [row]})
    with pytest.raises(DataError, match=r"sample 5: no image file at .*a\.png; bad sample 1"):
        told("docvqa", path, tmp_path / "out.jsonl", "4")
    file(tmp_path / "documents/a.png", png())
    assert told("docvqa", path, tmp_path / "out.jsonl", "4")[2] == {"anls": 1.0}


def chart_rows() -> list[dict[str, Any]]:
    asked = [("human_test", "10"), ("human_test", "no"), ("augmented_test", "10.4")]
    return [
        {"type": kind, "question": f"Q{n}?", "answer": answer, "image": cell(n)}
        for n, (kind, answer) in enumerate(asked)
    ]


def test_chartqa_from_the_hub(tmp_path):
    parquet(tmp_path / "data/test-00000-of-00001.parquet", chart_rows())
    parquet(tmp_path / "data/train-00000-of-00001.parquet", chart_rows())
    parrot, rows, scores = told("chartqa", tmp_path, tmp_path / "out.jsonl", "10")
    assert parrot.asked[0] == ("Q0?\nAnswer the question with a single word.", 16)
    assert [row.score for row in rows] == [1, 0, 1]
    assert list(scores.items()) == [
        ("relaxed_overall", 0.6667),
        ("relaxed_human_split", 0.5),
        ("relaxed_augmented_split", 1.0),
    ]


def test_chartqa_as_its_authors_give_it(tmp_path):
    for part, label in (("human", "Yes"), ("augmented", "No")):
        row = {"imgname": f"{part}.png", "query": f"{part}?", "label": label}
        js(tmp_path / f"test/test_{part}.json", [row])
        file(tmp_path / f"test/png/{part}.png", png())
        js(tmp_path / f"test/annotations/{part}.json", {"models": []})
    parrot, _, scores = told("chartqa", tmp_path / "test", tmp_path / "out.jsonl", "yes ", "strict")
    assert sorted(prompt.split("?")[0] for prompt, _ in parrot.asked) == ["augmented", "human"]
    assert scores == {
        "relaxed_overall": 0.5,
        "relaxed_human_split": 1.0,
        "relaxed_augmented_split": 0.0,
    }


def ocr_rows() -> list[dict[str, Any]]:
    asked = [
        ("IIIT5K", "Regular Text Recognition", ["stop", "halt"]),
        ("HME100k", FORMULAS, ["X ^ 2"]),
        ("FUNSD", "Key Information Extraction", ["5"]),
    ]
    return [
        {"dataset": name, "question": f" Q{n}? ", "question_type": kind}
        | {
            "answer": answers,
            "image": cell(n),
        }
        for n, (name, kind, answers) in enumerate(asked)
    ]


def test_ocrbench_from_the_hub(tmp_path):
    parquet(tmp_path / "data/test-00000-of-00001.parquet", ocr_rows())
    parrot, rows, scores = told("ocrbench", tmp_path, tmp_path / "a.jsonl", "STOP x^2 1955")
    assert parrot.asked == [(f"Q{n}?", 128) for n in range(3)]
    assert [row.score for row in rows] == [1, 0, 1]  # a formula's case counts
    assert next(iter(scores.items())) == ("ocrbench_accuracy", 0.002)
    assert scores["Text Recognition"] == scores["Key Information Extraction"] == 1
    _, rows, scores = told("ocrbench", tmp_path, tmp_path / "b.jsonl", "STOP X^2 1955", "strict")
    assert [row.score for row in rows] == [1, 1, 0]
    assert next(iter(scores.items())) == ("accuracy", 0.6667)


def test_ocrbench_as_its_authors_give_it(tmp_path):
    row = {"dataset_name": "IIIT5K", "type": "Regular Text Recognition", "id": 0}
    row |= {"question": "what?", "answers": "STOP", "image_path": "IIIT5K/1.png"}
    path = js(tmp_path / "OCRBench.json", [row])
    file(tmp_path / "OCRBench_Images/IIIT5K/1.png", png())
    _, rows, scores = told("ocrbench", path, tmp_path / "out.jsonl", "stop", "vlmevalkit")
    assert list(scores.items())[:3] == [
        ("Final Score", 1),
        ("Final Score Norm", 0.1),
        ("Text Recognition", 1),
    ]
    assert rows[0].gold["extra"] == {"dataset": "IIIT5K"}


def votes(number: int) -> list[str]:
    return ["two"] * number + [f"other {n}" for n in range(10 - number)]


def test_textvqa_from_the_hub(tmp_path):
    rows = [
        {"question_id": 34602 + n, "image_id": f"i{n}", "question": "who is JFK?"}
        | {
            "answers": votes(number),
            "image": cell(n),
        }
        for n, number in enumerate((3, 10))
    ]
    parquet(tmp_path / "data/validation-00000-of-00001.parquet", rows)
    parrot, found, scores = told("textvqa", tmp_path, tmp_path / "a.jsonl", "2. ASSISTANT: no")
    assert parrot.asked[0] == (f"Who is jfk?{SHORT}", 128)
    assert [row.sample for row in found] == ["34602", "34603"]
    assert scores == {"exact_match": 0.95}
    parrot, _, scores = told("textvqa", tmp_path, tmp_path / "b.jsonl", "Two", "strict")
    assert parrot.asked[0][0] == f"who is JFK?{SHORT}"
    assert scores == {"vqa_accuracy": 0.95}


def test_textvqa_as_its_authors_give_it(tmp_path):
    row = {"question_id": 1, "image_id": "0a", "question": "Which?", "answers": votes(1)}
    path = js(tmp_path / "TextVQA_0.5.1_val.json", {"dataset_type": "val", "data": [row]})
    file(tmp_path / "train_images/0a.jpg", png())
    assert told("textvqa", path, tmp_path / "out.jsonl", "2")[2] == {"exact_match": 0.3}


def lmu_folder(folder: Path) -> Path:
    """VLMEvalKit's files of all five, in its one folder; the second row shows the first's."""
    rows = {
        "DocVQA_VAL": ({}, "['ab cd', 'x']"),
        "InfoVQA_VAL": ({}, "['ab cd', 'x']"),
        "ChartQA_TEST": ({"split": "test_human"}, "ab cd"),
        "OCRBench": ({"category": "Regular Text Recognition"}, "['ab cd']"),
        "TextVQA_VAL": ({}, str(["ab cd"] * 10)),
    }
    for stem, (more, answer) in rows.items():
        table = [
            {"index": n, "image": image, "question": f"{stem}\n{n}?", "answer": answer} | more
            for n, image in enumerate((base64_of(), "0"))
        ]
        tsv(folder / f"{stem}.tsv", table)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_all_from_vlmevalkit(tmp_path, name):
    data, out = lmu_folder(tmp_path / "LMUData"), tmp_path / "out.jsonl"
    parrot, rows, scores = told(name, data, out, "AB cd", "vlmevalkit")
    assert [row.score for row in rows] == [1, 1]
    assert rows[0].image_key == rows[1].image_key
    ending = "" if name == "ocrbench" else SHORT
    assert [prompt.partition("\n")[2] for prompt, _ in parrot.asked] == [
        f"{n}?{ending}" for n in range(2)
    ]
    headline = {"ocrbench": ("Final Score", 2)}.get(name, ("Overall", 100))
    assert next(iter(scores.items())) == headline


@pytest.mark.parametrize("name", NAMES)
def test_rows_can_be_scored_again(tmp_path, name):
    data = lmu_folder(tmp_path / "LMUData")
    benchmark = benchmark_of(name)
    for sample in benchmark.read(data):
        again = Sample.from_gold(sample.id, sample.image_key, sample.gold())
        for scoring in ("lmms-eval", "vlmevalkit", "strict"):
            assert benchmark.score(again, "ab cd", scoring) == 1
            assert benchmark.score(again, "nothing of it", scoring) == 0


@pytest.mark.parametrize("name", NAMES)
def test_datasets_of_both_owners(name):
    benchmark: Benchmark = benchmark_of(name)
    owners = {hub_id.split("/")[0] for hub_id in benchmark.hub_ids}
    assert owners in ({"lmms-lab", "lmms-lab-encoder"}, {"echo840"})


@pytest.mark.parametrize("missing", ["question", "answers", "image", "questionId"])
def test_a_missing_column_is_named_with_file_and_row(tmp_path, missing):
    row = doc_row(0, ["a"])
    del row[missing]
    path = parquet(tmp_path / "DocVQA/validation-00000-of-00001.parquet", [row])
    with pytest.raises(DataError) as caught:
        list(benchmark_of("docvqa").read(tmp_path))
    assert str(caught.value).startswith(f"{path}[0]: no column ")
    assert "\n" not in str(caught.value)


def test_null_answers_of_a_test_split(tmp_path):
    path = parquet(tmp_path / "test.parquet", [doc_row(0, ["a"]) | {"answers": None}])
    with pytest.raises(DataError, match=r"test\.parquet\[0\]: answers must be text, got None"):
        list(benchmark_of("docvqa").read(path))


def test_bad_base64_stops_the_run_after_the_rows_before_it(tmp_path):
    row = {"index": 0, "image": base64_of(), "question": "q", "answer": "a"}
    bad = row | {"index": 1, "image": "*" * 100}
    path, out = tsv(tmp_path / "DocVQA_VAL.tsv", [row, bad]), tmp_path / "out.jsonl"
    with pytest.raises(DataError, match=r"DocVQA_VAL\.tsv:3: image is not base64"):
        told("docvqa", path, out, "a")
    assert [row.sample for row in read_results(out)] == ["0"]


def test_damaged_pictures_can_be_left_out(tmp_path):
    rows = [doc_row(n, ["a"]) for n in range(3)]
    rows[1]["image"] = {"bytes": png()[:60], "path": None}
    path = parquet(tmp_path / "val.parquet", rows)
    benchmark, out = benchmark_of("docvqa"), tmp_path / "out.jsonl"
    report = run_benchmark(benchmark, path, Parrot("a"), out, RunPlan(max_bad=1), {})
    assert (report.answered, len(report.bad)) == (2, 1)


def test_the_command_asks_the_embedded_model(tmp_path, capsys):
    rows = [doc_row(n, ["a"]) for n in range(5)]
    parquet(tmp_path / "hub/DocVQA/validation-00000-of-00001.parquet", rows)
    out = tmp_path / "out.jsonl"
    arguments = ["eval", "run", "docvqa", "--data", str(tmp_path / "hub"), "--out", str(out)]
    arguments += ["--method", "direct", "--limit", "3", "--json"]
    assert main(arguments) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["benchmark"], summary["method"], summary["samples"]) == ("docvqa", "direct", 3)
    assert list(summary["scores"]) == ["anls"]
    written = out.read_bytes()
    assert main(arguments) == 0  # nothing is left to ask
    assert out.read_bytes() == written
